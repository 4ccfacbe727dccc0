// Asking a model about pictures that are dropped, pasted, chosen or seen by the camera.
import { at, send, thumb } from "./api.js";
import { go, redraw } from "./app.js";
import * as camera from "./camera.js";
import { h, icon } from "./dom.js";
import { choose, dropzone } from "./drop.js";
import { complain, percent, sure, t } from "./talk.js";

const MOST = 12;
const TOP = 5;
const LIVE_MS = 350;
let shown = []; // the last answers, newest first: {project, run, name, url, said, error, heat}
let run = null;
let live = null;
let attempt = 0; // to start the camera: the browser may ask its user meanwhile

const runOf = (project) => (project.runs.some((one) => one.name === run) ? run : project.runs.find((one) => !one.error)?.name);
const ask = (project, which, blob, full) => send(at("projects", project, "runs", which, "try"), { full: full ? 1 : 0 }, blob);

export const chooseRun = (name) => { run = name; };

export const look = async (app, files) => {
  const which = runOf(app.project);
  if (!which) return;
  for (const file of files.slice(0, MOST)) {
    const one = { project: app.project.name, run: which, name: file.name || t("try.pasted"), url: URL.createObjectURL(file), heat: false };
    shown.unshift(one);
    for (const old of shown.splice(MOST)) URL.revokeObjectURL(old.url);
    redraw();
    try { one.said = await ask(app.project.name, which, file, true); } catch (error) { one.error = error.message; }
    redraw();
  }
};

export const paste = (app, event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  if (files.length) { event.preventDefault(); look(app, files); }
};

// -- an answer ----------------------------------------------------------------------------------------------

const bars = (said) => h("ol", { class: "bars" }, Object.entries(said.probabilities).sort((a, b) => b[1] - a[1]).slice(0, TOP).map(([name, p], n) => {
  const fill = h("i");
  fill.style.setProperty("width", `${100 * p}%`);
  return h("li", { class: n ? "" : "first" }, h("span", { class: "bar-name" }, name), h("span", { class: "bar-of-p", "aria-hidden": "true" }, fill), h("span", { class: "bar-p" }, sure(p)));
}));

const words = (said) => [
  h("p", { class: "claim less" }, said.unknown ? t("try.unknown") : said.label),
  said.unknown
    ? h("p", { class: "note warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "!"), h("span", {}, t("try.unknown.more", { name: said.label })))
    : h("p", {}, said.set.length > 1 ? t("try.set", { names: said.set.join(", ") }) : said.set.length ? t("try.sure", { p: sure(said.probability) }) : t("try.unsure")),
  bars(said),
];

const near = (one, known) => h("div", { class: "strip" }, one.said.nearest.map(({ path, label }) => {
  const name = path.slice(path.indexOf("/") + 1);
  const own = known.find((each) => each.name === label)?.pictures.find(([each]) => each === name);
  return h("figure", {}, own ? h("img", { class: "pic little", src: thumb(one.project, label, name, own[1]), alt: name }) : h("span", { class: "pic none little" }, h("span", {}, name)), h("figcaption", { class: "small" }, label));
}));

const card = (app, one) => {
  const { said } = one;
  const picture = said ? (one.heat ? said.heat : said.seen) : one.url;
  return h("article", { class: "tried", "aria-label": one.name },
    h("div", { class: "tried-picture" }, h("img", { src: picture, alt: one.heat ? t("try.heat.alt", { name: said.label }) : one.name }),
      said ? h("div", { class: "switch", role: "group", "aria-label": t("try.view") }, [false, true].map((heat) => h("button", { type: "button", "data-key": `heat-${one.url}-${heat}`, "aria-pressed": one.heat === heat ? "true" : "false", onclick: () => { one.heat = heat; redraw(); } }, t(heat ? "try.heat" : "try.picture")))) : null,
      one.heat ? h("p", { class: "small" }, t("try.heat.more", { name: said.label })) : null),
    h("div", { class: "tried-words" }, one.error ? h("p", { class: "note bad" }, h("span", { class: "sign" }, "✗"), h("span", {}, one.error)) : said ? [words(said), h("p", { class: "small" }, t("try.near")), near(one, app.project.classes)] : h("p", { class: "small", role: "status" }, t("try.wait"))));
};

// -- the camera, live ---------------------------------------------------------------------------------------

export const leave = () => {
  attempt += 1;
  if (!live) return;
  camera.close(live.stream);
  live.going = false;
  live = null;
};

const begin = async (app) => {
  attempt += 1;
  const own = attempt;
  try {
    const stream = await camera.open();
    if (own !== attempt) { camera.close(stream); return; } // asked for twice, or left meanwhile
    const video = h("video", { class: "view", muted: true, playsInline: true, autoplay: true, "aria-label": t("camera.view") });
    video.srcObject = stream;
    const place = h("div", { class: "tried-words", "aria-live": "off" }, h("p", { class: "small" }, t("try.wait")));
    const closely = async () => { const blob = video.videoWidth && await camera.shot(video); if (blob) look(app, [new File([blob], t("try.shot"), { type: blob.type })]); };
    live = { stream, going: true, one: h("article", { class: "tried" }, h("div", { class: "tried-picture" }, h("div", { class: "frame" }, video),
      h("div", { class: "buttons" }, h("button", { type: "button", class: "plain", "data-key": "try-closely", onclick: closely }, t("try.closely")))), place) };
    const mine = live;
    redraw();
    while (mine.going) {
      const which = app.project && runOf(app.project); // another may have been chosen
      if (which && video.videoWidth && !document.hidden) {
        try {
          const said = await ask(app.project.name, which, await camera.shot(video, 360), false);
          if (mine.going) place.replaceChildren(...words(said).flat());
        } catch (error) { place.replaceChildren(h("p", { class: "small" }, error.message)); }
      }
      await new Promise((resolve) => setTimeout(resolve, LIVE_MS));
    }
  } catch (error) { complain(error); }
};

// -- the view -----------------------------------------------------------------------------------------------

export const view = (app) => {
  const { project } = app;
  const which = runOf(project);
  if (!which) {
    return h("section", { class: "hero" }, h("h2", {}, t("try.title")), h("p", { class: "lead" }, t("try.none")),
      h("div", { class: "buttons" }, h("button", { type: "button", class: "primary", "data-key": "to-train", onclick: () => go(project.name, "train") }, t("pictures.train"))));
  }
  const runs = project.runs.filter((one) => !one.error);
  const select = runs.length > 1 ? h("label", { class: "field inline" }, h("span", {}, t("try.run")), h("select", { "data-key": "try-run", onchange: (event) => { run = event.target.value; redraw(); } },
    runs.map((one) => h("option", { value: one.name, selected: one.name === which }, `${t("run.title", { n: one.name.split("-")[0] })}: ${percent(one.accuracy)}`)))) : null;
  const zone = dropzone(h("section", { class: "hero drop" }, h("h2", {}, t("try.title")), h("p", { class: "lead" }, t("try.lead")), select,
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "primary", "data-key": "try-files", onclick: async () => look(app, (await choose({ accept: "image/*,.heic,.heif,.avif" })).map((one) => one.file)) }, icon("files"), t("try.choose")),
      h("button", { type: "button", class: "plain", "data-key": "try-live", "aria-pressed": live ? "true" : "false", onclick: () => { if (live) { leave(); redraw(); } else begin(app); } }, icon("camera"), t(live ? "try.stop" : "try.live")))),
    (files) => look(app, files.map((one) => one.file)));
  const own = shown.filter((one) => one.project === project.name);
  return [zone, live ? h("section", {}, live.one) : null,
    own.map((one) => h("section", {}, card(app, one))),
    own.length || live ? null : h("p", { class: "empty" }, t("try.empty"))];
};
