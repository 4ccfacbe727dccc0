// Pictures without a label, and which of them to label next.
import { at, post } from "./api.js";
import { go, refresh } from "./app.js";
import { h } from "./dom.js";
import { bring, dropzone } from "./drop.js";
import { adders, chosenBar, grid, image, look, move, show } from "./pictures.js";
import { lastWord, working } from "./train.js";
import { complain, sure, t } from "./talk.js";

const start = async (project) => {
  try { await post(at("projects", project.name, "next"), { run: project.runs.find((one) => !one.error).name }); } catch (error) { complain(error); }
};

const pick = (project, one) => {
  const own = project.unlabelled.find(([name]) => name === one.path);
  if (!own) return null;
  const order = [one.label, one.second, ...project.classes.map((each) => each.name)].filter((name, n, all) => all.indexOf(name) === n && project.classes.some((each) => each.name === name));
  return h("article", { class: "ask" }, h("button", { type: "button", class: "shot", "data-key": `ask-${one.path}`, "aria-label": t("picture.show", { name: one.path }), onclick: () => show("", one.path) }, image(project.name, "", own)),
    h("div", {}, h("p", { class: "small" }, t("next.perhaps", { label: one.label, p: sure(one.probability), second: one.second })),
      h("div", { class: "buttons tight" }, order.slice(0, 8).map((name) => h("button", { type: "button", class: "plain", "data-key": `label-${one.path}-${name}`, onclick: () => move([["", one.path]], name) }, name)),
        h("button", { type: "button", class: "plain bad", "data-key": `none-${one.path}`, onclick: () => move([["", one.path]], null) }, t("next.none")))));
};

export const view = (app) => {
  const { project } = app;
  look(project);
  const own = project.unlabelled;
  const trained = project.runs.some((one) => !one.error);
  const asked = (project.next?.next || []).filter((one) => own.some(([name]) => name === one.path));
  const zone = dropzone(h("section", { class: "hero" }, h("h2", {}, t("next.title")), h("p", { class: "lead" }, t("next.lead")), lastWord(project.last.next),
    h("div", { class: "buttons" },
      trained && own.length ? h("button", { type: "button", class: "primary", "data-key": "next", onclick: () => start(project) }, t("next.go")) : null,
      trained ? null : h("button", { type: "button", class: "primary", "data-key": "to-train", onclick: () => go(project.name, "train") }, t("next.train")))),
    (files) => bring(project.name, files, "", refresh));
  return [app.job ? working(app) : zone,
    asked.length ? h("section", {}, h("h2", {}, t("next.these")), h("p", { class: "lead" }, t("next.why")), h("div", { class: "asks" }, asked.map((one) => pick(project, one)))) : null,
    dropzone(h("section", { class: "class" }, h("div", { class: "class-head" }, h("h2", {}, t("class.none")), h("span", { class: "badge" }, t("count.pictures", { n: own.length }))), adders(project, "", app.state), own.length ? grid(project, "", own, `${project.name}//`) : h("p", { class: "empty" }, t("next.empty"))),
      (files) => bring(project.name, files, "", refresh)),
    chosenBar(project)];
};
