// Classes and their pictures.
import { at, get, post, thumb } from "./api.js";
import { change, go, redraw, refresh } from "./app.js";
import * as camera from "./camera.js";
import { h, icon, swap } from "./dom.js";
import { askClass, bring, choose, deliver, dropzone, newBatch } from "./drop.js";
import { askName, complain, dialog, menu, t, toast } from "./talk.js";

const FEW = 36; // that a class shows before it is asked for all
const MOST = 1200;
const tiles = new Map(); // tiles that stay the same are used again, so that nothing flickers
const picked = new Set();
const unfolded = new Set();
const keyOf = (project, label, name) => JSON.stringify([project, label, name]);
let dragged = [];

// A picture that cannot be shown says so.
export const image = (project, label, [name, v], side, alt = "") => {
  const one = h("img", { alt, loading: side ? undefined : "lazy", draggable: "false", src: thumb(project, label, name, v, side) });
  one.addEventListener("error", () => one.replaceWith(h("span", { class: "broken" }, t("picture.unreadable"))));
  return one;
};

const choice = (key) => {
  if (picked.has(key)) picked.delete(key); else picked.add(key);
  redraw();
};

const tile = (project, label, own) => {
  const key = keyOf(project.name, label, own[0]);
  const version = `${key}${own[1]}`;
  let one = tiles.get(version);
  if (!one) {
    const box = h("input", { type: "checkbox", class: "pick", "aria-label": t("picture.pick", { name: own[0] }), onchange: () => choice(key) });
    const shown = h("button", { type: "button", class: "shot", "aria-label": t("picture.show", { name: own[0] }), title: own[0], onclick: () => show(label, own[0]) }, image(project.name, label, own));
    one = h("div", { class: "tile-of", draggable: "true" }, shown, box);
    one.addEventListener("dragstart", (event) => {
      if (!picked.has(key)) { picked.clear(); picked.add(key); }
      dragged = [...picked];
      event.dataTransfer.setData("application/x-headstart", "pictures");
      event.dataTransfer.effectAllowed = "move";
    });
    tiles.set(version, one);
    if (tiles.size > 6000) tiles.delete(tiles.keys().next().value);
  }
  const box = one.lastElementChild;
  box.checked = picked.has(key);
  box.dataset.key = `pick-${key}`;
  one.firstElementChild.dataset.key = `shot-${key}`;
  one.classList.toggle("picked", picked.has(key));
  return one;
};

// -- one picture, large -------------------------------------------------------------------------------------

let now = null; // of the page's project, for what is opened from a tile that was made earlier
const all = (label) => (label === "" ? now.unlabelled : now.classes.find((one) => one.name === label)?.pictures || []);

export const show = (label, name) => {
  const project = now;
  return dialog(name, (close, own) => {
    const place = h("div", { class: "large" });
    let at_ = all(label).findIndex(([one]) => one === name);
    const draw = () => {
      const one = all(label)[at_];
      if (!one) { close(); return; }
      own.querySelector("h2").textContent = one[0].split("/").pop();
      place.replaceChildren(image(project.name, label, one, 640, one[0]));
      where.textContent = t("picture.of", { at: at_ + 1, n: all(label).length, name: label || t("class.none") });
    };
    const step = (by) => { const n = all(label).length; at_ = (at_ + by + n) % n; draw(); };
    const where = h("p", { class: "small" });
    own.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight") step(1);
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "Delete") away(null);
    });
    const away = async (to) => {
      const one = all(label)[at_];
      close();
      await move([[label, one[0]]], to);
    };
    setTimeout(draw);
    return h("div", {}, place, where, h("div", { class: "buttons" },
      h("button", { type: "button", class: "plain", onclick: () => step(-1) }, t("picture.before")),
      h("button", { type: "button", class: "plain", autofocus: true, onclick: () => step(1) }, t("picture.after")),
      h("button", { type: "button", class: "plain", onclick: async () => { const one = all(label)[at_]; const to = await askClass(project.name, t("picture.where")); if (to !== undefined) { close(); move([[label, one[0]]], to); } } }, t("picture.move")),
      h("button", { type: "button", class: "plain bad", onclick: () => away(null) }, icon("bin"), t("picture.remove"))));
  });
};

export const move = (pictures, to) => {
  const said = to === null ? t("picture.removed", { n: pictures.length }) : t("picture.moved", { n: pictures.length, name: to || t("class.none") });
  for (const [label, name] of pictures) picked.delete(keyOf(now.name, label, name));
  return change(post(at("projects", now.name, "move"), { pictures, to }), said);
};
const chosen = () => [...picked].map((key) => JSON.parse(key)).filter(([project]) => project === now.name).map(([, label, name]) => [label, name]);

// -- classes ------------------------------------------------------------------------------------------------

export const addClass = async (project) => {
  const name = await askName(t("class.new"), { label: t("class.name"), yes: t("class.make"), hint: t("class.hint") });
  if (!name) return;
  try {
    await post(at("projects", project.name, "classes"), { name });
  } catch (error) { complain(error); }
  refresh();
};

const rename = async (project, one) => {
  const name = await askName(t("class.rename"), { label: t("class.name"), value: one.name, yes: t("rename.yes") });
  if (!name || name === one.name) return;
  await change(post(at("projects", project.name, "classes", "rename"), { name: one.name, to: name, revision: project.revision }), t("class.renamed", { name }));
};

const merge = async (project, one) => {
  const others = project.classes.filter((other) => other.name !== one.name);
  const to = await dialog(t("class.merge", { name: one.name }), (close) => h("div", { class: "choices" },
    others.map((other, n) => h("button", { type: "button", class: "plain", autofocus: n === 0, onclick: () => close(other.name) }, other.name))));
  if (!to) return;
  await change(post(at("projects", project.name, "classes", "merge"), { name: one.name, to, revision: project.revision }), t("class.merged", { name: one.name, to }));
};

const shoot = async (project, label) => {
  const batch = newBatch();
  const sending = [];
  try {
    await camera.record(label || t("class.none"), (blob, name) => {
      const one = deliver(at("projects", project.name, "pictures"), { label, name, batch }, blob);
      sending.push(one);
      return one;
    });
  } catch (error) { complain(error); }
  const trouble = (await Promise.allSettled(sending)).find((one) => one.status === "rejected");
  if (trouble) complain(trouble.reason);
  refresh();
};

export const adders = (project, label, { folders }) => h("div", { class: "buttons tight" },
  h("button", { type: "button", class: "plain", "data-key": `files-${label}`, onclick: async () => bring(project.name, await choose(), label, refresh) }, icon("files"), t("add.files")),
  h("button", { type: "button", class: "plain", "data-key": `camera-${label}`, onclick: () => shoot(project, label) }, icon("camera"), t("add.camera")),
  h("button", { type: "button", class: "plain", "data-key": `more-${label}`, "aria-haspopup": "menu", onclick: (event) => menu(event.currentTarget, [
    [t("add.folder"), async () => bring(project.name, await choose({ folder: true }), label, refresh)],
    folders && [t("add.machine"), () => pick(project, label)],
  ]) }, t("add.more")));

export const grid = (project, label, own, key) => {
  const open = unfolded.has(key);
  const shown = own.slice(0, open ? MOST : FEW);
  return [
    h("div", { class: "tiles-grid" }, shown.map((one) => tile(project, label, one))),
    own.length > shown.length && !open ? h("button", { type: "button", class: "link", "data-key": `all-${key}`, onclick: () => { unfolded.add(key); redraw(); } }, t("class.all", { n: own.length })) : null,
    open && own.length > MOST ? h("p", { class: "small" }, t("class.most", { n: own.length - MOST })) : null,
    open && own.length > FEW ? h("button", { type: "button", class: "link", "data-key": `all-${key}`, onclick: () => { unfolded.delete(key); redraw(); } }, t("class.fewer")) : null,
  ];
};

const section = (app, one) => {
  const { project } = app;
  const own = one.pictures;
  const head = h("div", { class: "class-head" },
    h("h2", {}, one.name), h("span", { class: "badge" }, t("count.pictures", { n: own.length })),
    h("button", { type: "button", class: "round", "data-key": `menu-${one.name}`, "aria-haspopup": "menu", "aria-label": t("class.menu", { name: one.name }), onclick: (event) => menu(event.currentTarget, [
      [t("class.rename"), () => rename(project, one)],
      project.classes.length > 1 && [t("class.merge.short"), () => merge(project, one)],
      own.length > 0 && [t("class.pick"), () => { for (const [name] of own) picked.add(keyOf(project.name, one.name, name)); redraw(); }],
      [t("class.delete"), () => change(post(at("projects", project.name, "classes", "delete"), { name: one.name, to: "", revision: project.revision }), t("class.deleted", { name: one.name })), "bad"],
    ]) }, icon("more")));
  const body = own.length ? grid(project, one.name, own, `${project.name}/${one.name}`)
    : h("p", { class: "empty" }, t("class.empty"));
  return dropzone(h("section", { class: "class", "aria-label": one.name }, head, adders(project, one.name, app.state), body),
    (files) => bring(project.name, files, one.name, refresh), () => move(dragged.map((key) => JSON.parse(key).slice(1)), one.name));
};

const bar = (project) => {
  const own = chosen();
  if (!own.length) return null;
  return h("div", { class: "chosen-bar", role: "region", "aria-label": t("chosen") },
    h("b", {}, t("chosen.n", { n: own.length })),
    h("button", { type: "button", class: "plain", "data-key": "chosen-move", onclick: async () => { const to = await askClass(project.name, t("picture.where")); if (to !== undefined) move(own, to); } }, t("picture.move")),
    h("button", { type: "button", class: "plain bad", "data-key": "chosen-remove", onclick: () => move(own, null) }, icon("bin"), t("picture.remove")),
    h("button", { type: "button", class: "link", "data-key": "chosen-clear", onclick: () => { picked.clear(); redraw(); } }, t("chosen.clear")));
};

const begin = (app) => h("section", { class: "hero" }, h("h2", {}, t("pictures.begin")), h("p", { class: "lead" }, t("pictures.begin.lead")),
  h("ul", { class: "ways" }, ["class", "folder", "zip"].map((way) => h("li", {}, t(`pictures.way.${way}`)))),
  h("div", { class: "buttons" },
    h("button", { type: "button", class: "primary", "data-key": "first-class", onclick: () => addClass(app.project) }, icon("plus"), t("class.new")),
    h("button", { type: "button", class: "plain", "data-key": "first-folder", onclick: async () => bring(app.project.name, await choose({ folder: true }), undefined, refresh) }, icon("folder"), t("add.folder")),
    h("button", { type: "button", class: "plain", "data-key": "first-zip", onclick: async () => bring(app.project.name, await choose({ accept: ".zip" }), undefined, refresh) }, icon("files"), t("add.zip")),
    app.state.folders && h("button", { type: "button", class: "plain", "data-key": "first-machine", onclick: () => pick(app.project, undefined) }, icon("folder"), t("add.machine"))));

// What is still missing before it can be trained; null where nothing is.
export const missing = (project) => {
  const full = project.classes.filter((one) => one.pictures.length > 1);
  if (full.length < 2) return t("missing.classes");
  const fewest = Math.min(...full.map((one) => one.pictures.length));
  return fewest < 10 ? t("missing.few") : null;
};
export const ready = (project) => project.classes.filter((one) => one.pictures.length > 1).length > 1;

export const view = (app) => {
  const { project } = app;
  now = project;
  const there = new Set([...project.classes, { name: "", pictures: project.unlabelled }].flatMap((one) => one.pictures.map(([name]) => keyOf(project.name, one.name, name))));
  for (const key of picked) if (!there.has(key)) picked.delete(key);
  if (!project.classes.length) return begin(app);
  return [
    h("div", { class: "bar-of" },
      h("p", { class: "lead" }, missing(project) || t("pictures.enough")),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain", "data-key": "add-class", onclick: () => addClass(project) }, icon("plus"), t("class.new")),
        h("button", { type: "button", class: "plain", "data-key": "add-many", "aria-haspopup": "menu", onclick: (event) => menu(event.currentTarget, [
          [t("add.folders"), async () => bring(project.name, await choose({ folder: true }), undefined, refresh)],
          [t("add.zip"), async () => bring(project.name, await choose({ accept: ".zip" }), undefined, refresh)],
          app.state.folders && [t("add.machine"), () => pick(project, undefined)],
        ]) }, t("add.many")),
        ready(project) && h("button", { type: "button", class: "primary", "data-key": "to-train", onclick: () => go(project.name, "train") }, t("pictures.train")))),
    project.classes.map((one) => section(app, one)),
    bar(project),
  ];
};
export const look = (project) => { now = project; };
export const chosenBar = bar;

// -- folders of this machine --------------------------------------------------------------------------------

export const pick = async (project, label) => {
  const found = await dialog(t("pick.title"), (close) => {
    const place = h("div", {}, h("p", { class: "small" }, t("wait")));
    const look_ = async (path) => {
      let here;
      try { here = await get("/api/folders", { path }); } catch (error) { complain(error); return; }
      const parts = path ? path.split("/") : [];
      const total = here.pictures + here.folders.reduce((sum, one) => sum + one.pictures, 0);
      const full = here.folders.filter((one) => one.pictures);
      swap(place,
        h("p", { class: "crumbs" }, h("button", { type: "button", class: "link", onclick: () => look_("") }, here.root),
          parts.map((part, n) => [" / ", h("button", { type: "button", class: "link", onclick: () => look_(parts.slice(0, n + 1).join("/")) }, part)])),
        here.folders.length || here.pictures ? null : h("p", { class: "empty" }, t("pick.empty")),
        h("ul", { class: "folder-list" }, here.folders.map((one) => h("li", {}, h("button", { type: "button", onclick: () => look_([...parts, one.name].join("/")) },
          icon("folder"), h("span", {}, one.name), one.pictures ? h("span", { class: "badge" }, t("count.pictures", { n: one.pictures })) : null)))),
        h("div", { class: "buttons end" },
          label === undefined && full.length > 1 ? h("button", { type: "button", class: "primary", onclick: () => close({ path, into: null }) }, t("pick.classes", { n: full.length })) : null,
          total && (label !== undefined) ? h("button", { type: "button", class: "primary", onclick: () => close({ path, into: label }) }, t("pick.into", { n: total, name: label || t("class.none") })) : null,
          total && label === undefined && here.pictures && !full.length ? h("button", { type: "button", class: "primary", onclick: () => close({ path, into: undefined }) }, t("pick.one", { n: total })) : null),
        h("p", { class: "small" }, t("pick.copied")));
    };
    look_("");
    return place;
  });
  if (!found) return;
  let { into } = found;
  if (into === undefined) {
    into = await askClass(project.name, t("picture.where"));
    if (into === undefined) return;
  }
  const word = toast(t("pick.going"), { stays: true });
  try {
    const done = await post(at("projects", project.name, "import"), { path: found.path, into });
    const skipped = Object.values(done.skipped).reduce((sum, n) => sum + n, 0) - (done.skipped["no heif"] || 0);
    if (done.skipped["no heif"]) toast(t("drop.heif", { n: done.skipped["no heif"] }), { kind: "bad" });
    toast(t("drop.done", { n: done.added }) + (skipped ? ` ${t("drop.skipped", { n: skipped })}` : ""), { kind: "good" });
  } catch (error) { complain(error); }
  word.end();
  refresh();
};
