// The frame around the views: what is shown, what is known, and what the studio tells while it goes on.
import { Refusal, at, get, post } from "./api.js";
import { h, icon, swap } from "./dom.js";
import { bring, dropzone, tell } from "./drop.js";
import * as check from "./check.js";
import * as home from "./home.js";
import * as next from "./next.js";
import * as pictures from "./pictures.js";
import * as train from "./train.js";
import * as trying from "./try.js";
import { askName, complain, loadTexts, menu, t, toast } from "./talk.js";

const VIEWS = { pictures, check, train, try: trying, next, history: home.history };
const app = { state: null, project: null, view: "pictures", job: null, boot: null };

// -- what is known ------------------------------------------------------------------------------------------

const route = () => {
  const [, name, view] = location.hash.split("/");
  return { name: name ? decodeURIComponent(name) : null, view: view in VIEWS ? view : "pictures" };
};
export const go = (name, view) => { location.hash = name ? `#/${encodeURIComponent(name)}${view ? `/${view}` : ""}` : "#/"; };

let ended = null; // a job whose end has not been told yet
const tellEnd = () => {
  const job = ended;
  ended = null;
  const last = app.project?.last[job.kind];
  if (!last || last.id !== job.id) return;
  const kind = { done: "good", failed: "bad" }[last.state] || "plain";
  const here = app.view === homeOf(job);
  if (last.state !== "done") { if (!here) toast(lastSaid(last), { kind }); return; }
  toast(t(`done.${job.kind}`), { kind, action: here ? undefined : [t("look"), () => go(app.project.name, homeOf(job))] });
};
const lastSaid = (last) => (last.state === "failed" ? t("job.failed", { why: last.message }) : t(`job.${last.state}`));

let changes; // how many the history shows, where more than usual were asked for
export const showChanges = (n) => { changes = n; refresh(); };

let asking = 0;
export const refresh = async () => {
  const mine = ++asking;
  const { name, view } = route();
  if (app.project?.name !== name) changes = undefined;
  try {
    const [state, project] = await Promise.all([
      name && app.state ? app.state : get("/api/state"), name ? get(at("projects", name), { changes }) : null]);
    if (mine !== asking) return;
    const moved = app.project?.name !== name || app.view !== view;
    Object.assign(app, { state, project, view });
    app.job = project ? project.job : state.job;
    banner(null);
    render(moved);
    if (ended) tellEnd();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.code === "project-gone") { go(null); return; }
    if (error.code === "gone") banner(t("banner.gone"));
    else complain(error);
  }
};

let timer = null;
const soon = () => { if (timer === null) timer = setTimeout(() => { timer = null; refresh(); }, 200); };

const banner = (said) => {
  const one = document.getElementById("banner");
  one.hidden = !said;
  one.textContent = said || "";
};

// -- drawing ------------------------------------------------------------------------------------------------

const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const keep = (value) => { try { localStorage.setItem("theme", value); } catch { /* a browser that keeps nothing */ } };
const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };

const homeOf = (job) => ({ train: "train", export: "train", check: "check", next: "next" })[job.kind];

const top = () => {
  const { project } = app;
  const theme = h("button", { type: "button", class: "round", "data-key": "theme", "aria-label": t(dark() ? "theme.light" : "theme.dark"), title: t(dark() ? "theme.light" : "theme.dark"),
    onclick: () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; keep(document.documentElement.dataset.theme); render(); } }, icon("sun"));
  const mark = h("img", { src: "/assets/icon.svg", alt: "", width: 28, height: 28 });
  const last = project?.changes.find((one) => one.state === "done");
  return [
    h("a", { class: "brand", href: "#/", "data-key": "brand" }, mark, h("span", { class: project ? "brand-name with" : "brand-name" }, "headstart ", h("b", {}, "studio"))),
    project && h("div", { class: "crumb" }, h("h1", {}, project.name),
      h("button", { type: "button", class: "round", "data-key": "project-menu", "aria-haspopup": "menu", "aria-label": t("project.menu"),
        onclick: (event) => menu(event.currentTarget, [
          [t("project.rename"), () => renameProject(project)],
          [t("project.delete"), () => deleteProject(project), "bad"],
        ]) }, icon("more"))),
    h("div", { class: "top-end" },
      app.job && !(app.project?.name === app.job.project && app.view === homeOf(app.job)) ? h("a", { class: "chip", "data-key": "chip", href: `#/${encodeURIComponent(app.job.project)}/${homeOf(app.job)}` }, t(`job.${app.job.kind}`)) : null,
      last && h("button", { type: "button", class: "plain", "data-key": "undo", title: home.told(last), onclick: () => undo(last.id) }, icon("undo"), h("span", { class: "wide-only" }, t("undo"))),
      theme),
  ];
};

const nav = () => {
  const { project, view } = app;
  const counts = {
    pictures: project.classes.reduce((sum, one) => sum + one.pictures.length, 0),
    check: project.audit ? project.audit.findings.filter((one) => one.severity !== "note" || one.kind === "label-suspect").length : null,
    train: project.runs.length, next: project.unlabelled.length,
  };
  return h("nav", { "aria-label": t("nav") }, h("ul", {}, Object.keys(VIEWS).map((name) => h("li", {},
    h("a", { href: `#/${encodeURIComponent(project.name)}/${name}`, "data-key": `nav-${name}`, "aria-current": name === view ? "page" : undefined },
      t(`nav.${name}`), counts[name] ? h("span", { class: "badge" }, counts[name].toLocaleString()) : null)))));
};

const render = (moved = false) => {
  const place = document.getElementById("page");
  swap(document.getElementById("top"), ...top());
  document.title = app.project ? `${app.project.name} · headstart studio` : "headstart studio";
  place.classList.toggle("alone", !app.project);
  const main = h("main", { id: "main", tabindex: "-1" }, app.project ? VIEWS[app.view].view(app) : home.view(app));
  swap(place, app.project ? nav() : null, main);
  if (moved) {
    window.scrollTo(0, 0);
    place.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }
};
export const redraw = () => render();

// -- doing --------------------------------------------------------------------------------------------------

export const undo = async (change) => {
  try {
    await post(at("changes", change, "undo"));
    toast(t("undo.done"), { kind: "good" });
  } catch (error) { complain(error); }
  soon();
};

// Carry out a change and offer to take it back.
export const change = async (promise, said) => {
  try {
    const found = await promise;
    toast(said, { action: found.change ? [t("undo"), () => undo(found.change)] : undefined });
    return found;
  } catch (error) {
    complain(error);
    return null;
  } finally { soon(); }
};

const renameProject = async (project) => {
  const name = await askName(t("project.rename"), { label: t("project.name"), value: project.name, yes: t("rename.yes") });
  if (!name || name === project.name) return;
  try {
    const found = await post(at("projects", project.name, "rename"), { name });
    go(found.name, app.view);
  } catch (error) { complain(error); }
};

const deleteProject = async (project) => {
  const found = await change(post(at("projects", project.name, "delete")), t("project.deleted", { name: project.name }));
  if (found) { app.state = null; go(null); }
};

// -- being told ---------------------------------------------------------------------------------------------

let line = null;
const listen = () => {
  if (line) return;
  line = new EventSource("/api/events");
  line.addEventListener("open", () => banner(null));
  line.addEventListener("message", ({ data }) => {
    const said = JSON.parse(data);
    if (said.type === "hello") { app.boot = said.boot; app.state = null; soon(); }
    else if (said.type === "job") {
      const was = app.job;
      app.job = said.job;
      if (said.job && was && was.id === said.job.id) train.progress(said.job);
      else { app.state = null; ended = said.job ? null : { ...was, id: said.ended }; soon(); }
    } else if (said.type === "project") { if (app.project?.name === said.project) soon(); else if (!app.project) { app.state = null; soon(); } }
    else { app.state = null; soon(); }
  });
  line.addEventListener("error", () => banner(t("banner.gone")));
};
const hush = () => { line?.close(); line = null; };

// -- begin --------------------------------------------------------------------------------------------------

const begin = async () => {
  if (kept()) document.documentElement.dataset.theme = kept();
  await loadTexts();
  document.getElementById("skip").textContent = t("skip");
  if (location.search) history.replaceState(null, "", location.pathname + location.hash);
  tell({ classes: (name) => (app.project?.name === name ? app.project.classes.map((one) => one.name) : []), most: () => app.state?.limits.most ?? Infinity });
  addEventListener("hashchange", () => { document.querySelectorAll("dialog.studio").forEach((one) => one.close()); if (!route().name) app.state = null; trying.leave(); refresh(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.state && render());
  document.addEventListener("visibilitychange", () => { if (document.hidden) hush(); else { app.state = null; listen(); } });
  addEventListener("pagehide", hush);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.target.closest("input, textarea, dialog")) {
      const last = app.project?.changes.find((one) => one.state === "done");
      if (last) { event.preventDefault(); undo(last.id); }
    }
  });
  document.addEventListener("paste", (event) => { if (app.project && app.view === "try" && !event.target.closest("input")) trying.paste(app, event); });
  // what is dropped beside every target must not replace the page
  for (const what of ["dragover", "drop"]) addEventListener(what, (event) => event.preventDefault());
  dropzone(document.getElementById("page"), (files) => {
    if (!app.project) toast(t("drop.first"));
    else if (app.view === "try") trying.look(app, files.map((one) => one.file));
    else bring(app.project.name, files, app.view === "next" ? "" : undefined, soon);
  });
  await refresh();
  listen();
};

begin();
