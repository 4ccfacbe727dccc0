// What is wrong with the pictures, and one click that sets it right.
import { at, post } from "./api.js";
import { h } from "./dom.js";
import { image, look, move, show } from "./pictures.js";
import { lastWord, working } from "./train.js";
import { ago, complain, t } from "./talk.js";

const ORDER = ["corrupt", "label-conflict", "label-suspect", "shortcut", "imbalance", "tiny-class", "duplicate", "near-duplicate", "leak", "small-picture", "ignored"];
const FEW = 24;
const FIXED = ["duplicate", "near-duplicate", "label-conflict"]; // whose buttons remove the others

const start = async (project) => {
  try { await post(at("projects", project.name, "check")); } catch (error) { complain(error); }
};

const split = (path) => { const at_ = path.indexOf("/"); return at_ < 0 ? [null, path] : [path.slice(0, at_), path.slice(at_ + 1)]; };
const picture = (project, path) => {
  const [label, name] = split(path);
  const own = project.classes.find((one) => one.name === label)?.pictures.find(([one]) => one === name);
  if (!own) return null;
  return h("figure", {}, h("button", { type: "button", class: "shot", "data-key": `finding-${path}`, "aria-label": t("picture.show", { name }), onclick: () => show(label, name) }, image(project.name, label, own)),
    h("figcaption", { class: "small" }, label));
};
const button = (key, said, go, kind = "plain") => h("button", { type: "button", class: kind, "data-key": key, onclick: go }, said);

const fixes = (project, one, suggested) => {
  const all = [one.path, ...(one.others || [])];
  const found = [];
  if (one.kind === "corrupt") found.push(button(`drop-${one.path}`, t("fix.drop"), () => move([split(one.path)], null)));
  if (one.kind === "duplicate" || one.kind === "near-duplicate") found.push(button(`keep-${one.path}`, t("fix.keepone", { n: all.length - 1 }), () => move(all.slice(1).map(split), null)));
  if (one.kind === "label-conflict") {
    for (const label of new Set(all.map((path) => split(path)[0]))) {
      found.push(button(`right-${label}-${one.path}`, t("fix.right", { name: label }), () => move(all.filter((path) => split(path)[0] !== label).map(split), null)));
    }
    found.push(button(`drop-${one.path}`, t("fix.dropall"), () => move(all.map(split), null)));
  }
  if (one.kind === "label-suspect") {
    const to = suggested[one.path];
    if (to && project.classes.some((other) => other.name === to)) found.push(button(`move-${one.path}`, t("fix.move", { name: to }), () => move([split(one.path)], to)));
    found.push(button(`drop-${one.path}`, t("fix.drop"), () => move([split(one.path)], null)));
  }
  return found;
};

const group = (project, kind, rows, suggested) => {
  const all = kind === "corrupt" ? () => move(rows.map((one) => split(one.path)), null)
    : kind === "duplicate" ? () => move(rows.flatMap((one) => one.others).map(split), null) : null;
  return h("section", { class: "findings" }, h("h2", {}, t(`finding.${kind}`), " ", h("span", { class: "badge" }, rows.length.toLocaleString())), h("p", { class: "lead" }, t(`finding.${kind}.more`)),
    all && rows.length > 1 ? h("div", { class: "buttons" }, button(`all-${kind}`, t(`fix.all.${kind}`, { n: rows.length }), all)) : null,
    rows.slice(0, FEW).map((one) => {
      const shown = [one.path, ...(one.others || [])].slice(0, 8).map((path) => picture(project, path)).filter(Boolean);
      return h("div", { class: "finding" }, shown.length ? h("div", { class: "strip" }, shown) : null,
        h("div", { class: "finding-words" }, h("p", {}, h("b", { class: "long" }, one.path)), h("p", { class: "small" }, one.message), h("div", { class: "buttons tight" }, fixes(project, one, suggested)),
          one.more && FIXED.includes(one.kind) ? h("p", { class: "small" }, t("fix.some", { n: one.others.length })) : null));
    }),
    rows.length > FEW ? h("p", { class: "small" }, t("finding.more", { n: rows.length - FEW })) : null);
};

export const view = (app) => {
  const { project } = app;
  look(project);
  const { audit } = project;
  const can = project.classes.some((one) => one.pictures.length);
  // copies under two labels stand above them, where the label is the question
  const is_torn = (one) => one.kind === "duplicate" && new Set([one.path, ...one.others].map((path) => split(path)[0])).size > 1;
  const groups = audit ? ORDER.map((kind) => [kind, audit.findings.filter((one) => one.kind === kind && !is_torn(one))]).filter(([, rows]) => rows.length) : [];
  const begin = h("section", { class: "hero" }, h("h2", {}, t("check.title")), h("p", { class: "lead" }, t("check.lead")),
    lastWord(project.last.check),
    audit ? h("p", { class: `note ${groups.length ? "warn" : "good"}` }, h("span", { class: "sign", "aria-hidden": "true" }, groups.length ? "!" : "✓"), h("span", {}, `${groups.length ? t("check.found", { n: groups.reduce((sum, [, rows]) => sum + rows.length, 0) }) : t("check.clean")} ${t("check.when", { when: ago(audit.at) })}`)) : null,
    h("div", { class: "buttons" }, h("button", { type: "button", class: audit ? "plain" : "primary", "data-key": "check", disabled: !can, onclick: () => start(project) }, t(audit ? "check.again" : "check.go"))),
    can ? null : h("p", { class: "small" }, t("check.nothing")));
  return [app.job ? working(app) : begin, groups.map(([kind, rows]) => group(project, kind, rows, audit.suggested))];
};
