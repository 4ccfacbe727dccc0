// The first page: all projects; and what was done to one of them.
import { at, post, thumb } from "./api.js";
import { go, showChanges, undo } from "./app.js";
import { h, icon } from "./dom.js";
import { ago, askName, bytes, complain, confirm, percent, t, toast } from "./talk.js";

const make = async () => {
  const name = await askName(t("project.new"), { label: t("project.name"), yes: t("project.make"), hint: t("project.hint") });
  if (!name) return;
  try {
    go((await post(at("projects"), { name })).name);
  } catch (error) { complain(error); }
};

const card = (one) => h("a", { class: "project-card", href: `#/${encodeURIComponent(one.name)}`, "data-key": `project-${one.name}` },
  h("div", { class: `cover n${one.cover.length}` }, one.cover.length
    ? one.cover.map((pic) => h("img", { src: thumb(one.name, pic.class, pic.name, pic.v), alt: "", loading: "lazy" }))
    : h("span", { class: "small" }, t("home.nopictures"))),
  h("h2", {}, one.name),
  h("p", { class: "small" }, `${t("count.classes", { n: one.classes.length })} · ${t("count.pictures", { n: one.pictures })}`),
  h("p", { class: "small" }, one.last && one.last.accuracy !== undefined
    ? t("home.score", { score: percent(one.last.accuracy), n: one.runs })
    : t("home.untrained")));

const steps = () => h("ol", { class: "steps" }, ["one", "two", "three"].map((n) => h("li", {},
  h("b", {}, t(`home.${n}`)), h("span", {}, t(`home.${n}.more`)))));

export const view = (app) => {
  const { projects, deleted, root } = app.state;
  const begin = h("button", { type: "button", class: "primary", "data-key": "new-project", onclick: make }, icon("plus"), t("project.new"));
  const gone = deleted.length || app.state.bin ? removed(app.state) : null;
  if (!projects.length) {
    return [h("section", { class: "hero" }, h("p", { class: "claim" }, t("home.claim")), h("p", { class: "lead" }, t("home.lead")),
      steps(), h("div", { class: "buttons" }, begin), h("p", { class: "small" }, t("home.local", { root }))), gone];
  }
  return [
    h("div", { class: "bar-of" }, h("h1", { class: "big" }, t("home.projects")), begin),
    h("div", { class: "project-cards" }, projects.map(card)),
    gone,
    h("p", { class: "small" }, t("home.local", { root })),
  ];
};

// Projects in the bin.
const removed = ({ deleted, bin }) => h("section", {}, h("h2", {}, t("bin.title")),
  deleted.length ? h("ol", { class: "log" }, deleted.map((one) => h("li", {}, h("span", {}, one.name, h("small", {}, ago(one.at))),
    h("button", { type: "button", class: "plain", "data-key": `restore-${one.id}`, onclick: () => undo(one.id) }, t("home.restore"))))) : null,
  h("p", {}, t("bin.holds", { size: bytes(bin) })),
  h("button", { type: "button", class: "plain", "data-key": "empty-bin", onclick: () => empty("/api/bin/empty", bin) }, icon("bin"), t("bin.empty")));

// What a change did, in words.
export const told = (one) => (one.said.classes?.length > 1 ? t("change.pictures-added.many", { n: one.said.n, k: one.said.classes.length }) : words(one));
const words = (one) => t(`change.${one.kind}`, { ...one.said, n: one.said.n ?? 1, name: one.said.name || one.said.classes?.[0] || t("class.none"), from: one.said.from || t("class.none"), to: one.said.to || t("class.none") });

const empty = async (path, size) => {
  if (!await confirm(t("bin.empty"), t("bin.sure", { size: bytes(size) }), t("bin.yes"))) return;
  try {
    const found = await post(path);
    toast(t("bin.emptied", { size: bytes(found.freed) }), { kind: "good" });
  } catch (error) { complain(error); }
};

export const history = {
  view: ({ project }) => [
    h("section", {}, h("h2", {}, t("nav.history")), h("p", { class: "lead" }, t("history.lead")),
      project.changes.length ? h("ol", { class: "log" }, project.changes.map((one) => h("li", { class: one.state },
        h("span", {}, told(one), h("small", {}, ago(one.at))),
        one.state === "done" ? h("button", { type: "button", class: "plain", "data-key": `undo-${one.id}`, onclick: () => undo(one.id) }, t("undo")) : h("span", { class: "badge" }, t("history.undone")))))
        : h("p", { class: "empty" }, t("history.none")),
      project.earlier ? h("button", { type: "button", class: "link", "data-key": "earlier", onclick: () => showChanges(2 * project.changes.length) }, t("history.earlier")) : null),
    h("section", {}, h("h2", {}, t("bin.title")),
      h("p", {}, project.bin ? t("bin.holds", { size: bytes(project.bin) }) : t("bin.nothing")),
      project.bin ? h("button", { type: "button", class: "plain", "data-key": "empty-bin", onclick: () => empty(at("projects", project.name, "bin", "empty"), project.bin) }, icon("bin"), t("bin.empty")) : null,
      h("h3", {}, t("history.where")), h("p", { class: "small long" }, project.folder)),
  ],
};
