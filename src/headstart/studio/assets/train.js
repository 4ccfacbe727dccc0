// Training, and what came of it.
import { at, get, page, post } from "./api.js";
import { change, go, redraw } from "./app.js";
import { h, icon } from "./dom.js";
import { missing, ready } from "./pictures.js";
import { chooseRun } from "./try.js";
import { ago, complain, menu, percent, t, toast } from "./talk.js";

let opened = null; // the run whose report is shown
let against = null; // two runs that are compared
let answer = null;

// -- work that goes on --------------------------------------------------------------------------------------

const PHASES = { export: ["convert", "compare"] };
const USUAL = ["open", "look", "learn"];
const shareOf = (job) => (job.phase === "look" || job.phase === "compare" ? job.done / job.total : job.phase === "tune" && job.epochs ? job.epoch / job.epochs : null);
const wordsOf = (job) => {
  if (job.phase === "look") return t("phase.look.n", { done: job.done, total: job.total });
  if (job.phase === "tune") return job.epoch ? t("phase.tune.n", { done: job.epoch, total: job.epochs }) : t("phase.tune");
  if (job.phase === "compare") return t("phase.compare.n", { done: job.done, total: job.total });
  return t(`phase.${job.phase}`);
};

// How far a job is; `progress` moves it on without drawing the page anew.
export const going = (job) => {
  const share = shareOf(job);
  const phases = PHASES[job.kind] || USUAL;
  const phase = job.phase === "tune" ? "learn" : phases.includes(job.phase) ? job.phase : phases[0];
  const bar = h("div", { class: share === null ? "progress unsure" : "progress", role: "progressbar", "aria-label": t(`job.${job.kind}`), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": share === null ? undefined : Math.round(100 * share) }, h("i"));
  if (share !== null) bar.firstElementChild.style.setProperty("width", `${100 * share}%`);
  return h("div", { id: "going", "data-job": job.id },
    h("ol", { class: "phases" }, phases.map((name) => h("li", { class: phases.indexOf(name) < phases.indexOf(phase) ? "past" : name === phase ? "now" : "" }, t(`phase.${name}`)))),
    bar, h("p", { class: "small", role: "status" }, wordsOf(job)));
};

export const progress = (job) => {
  const old = document.getElementById("going");
  if (old) old.replaceWith(going(job));
};

export const cancel = async (job) => {
  try { await post(at("jobs", job.id, "cancel")); } catch (error) { complain(error); }
};

// The card of a job at work, in whatever project.
export const working = (app) => {
  const job = app.job;
  const elsewhere = job.project !== app.project.name;
  return h("section", { class: "working" }, h("h2", {}, elsewhere ? t("job.elsewhere", { name: job.project }) : t(`job.${job.kind}`)), going(job),
    h("div", { class: "buttons" }, h("button", { type: "button", class: "plain", "data-key": "cancel", onclick: () => cancel(job) }, t("cancel"))),
    h("p", { class: "small" }, t("job.leave")));
};

// What became of the last job, where that needs a word.
export const lastWord = (last) => {
  if (!last || last.state === "done") return null;
  const sign = { failed: ["bad", "✗"], interrupted: ["warn", "!"], cancelled: ["warn", "!"] }[last.state];
  const said = last.state === "failed" ? t("job.failed", { why: last.message }) : t(`job.${last.state}`);
  return h("p", { class: `note ${sign[0]}` }, h("span", { class: "sign", "aria-hidden": "true" }, sign[1]), h("span", {}, said));
};

// -- what came of it ----------------------------------------------------------------------------------------

const number = (run) => run.name.split("-")[0];
const title = (run) => t("run.title", { n: number(run) });
const claim = (run) => (run.seen ? t("run.seen") : t(run.tested ? "run.claim" : "run.claim.cv", { right: Math.round(run.accuracy * run.n).toLocaleString(), n: run.n }));

const advice = (run) => {
  const found = [];
  const worst = run.classes.filter((one) => one.n).sort((a, b) => a.recall - b.recall)[0];
  for (const said of run.shortcuts) found.push(["warn", t("run.shortcut", { said })]);
  if (run.confused.length) found.push(["warn", t("run.confused", { truth: run.confused[0], said: run.confused[1], n: run.confused[2] })]);
  if (run.suspects) found.push(["warn", t("run.suspects", { n: run.suspects })]);
  if (worst && worst.recall < run.accuracy - 0.1) found.push(["warn", t("run.worst", { name: worst.name, score: percent(worst.recall) })]);
  if (run.ci[1] - run.ci[0] > 0.2) found.push(["warn", t("run.wide")]);
  if (!found.length) found.push(["good", t("run.fine")]);
  return found.map(([kind, said]) => h("p", { class: `note ${kind}` }, h("span", { class: "sign", "aria-hidden": "true" }, kind === "good" ? "✓" : "!"), h("span", {}, said)));
};

const tiles = (run) => h("dl", { class: "tiles" }, [
  ["run.accuracy", percent(run.accuracy), t("run.between", { low: percent(run.ci[0]), high: percent(run.ci[1]) })],
  ["run.classes", run.classes.length.toLocaleString(), t("run.used", { n: run.used })],
  ["run.took", run.seconds < 90 ? t("seconds", { n: Math.round(10 * run.seconds) / 10 }) : t("minutes", { n: Math.round(run.seconds / 60) }), run.tune === "never" ? t("run.frozen") : t("run.tuned")],
].map(([name, value, more]) => h("div", { class: "tile" }, h("dt", {}, t(name)), h("dd", {}, h("b", {}, value), h("span", {}, more)))));

const reportOf = (project, run) => page("runs", project.name, run.name, "report.html");

const result = (app, run, is_last) => {
  const { project } = app;
  if (run.error) return h("section", { class: "run" }, h("h2", {}, title(run)), h("p", { class: "note bad" }, h("span", { class: "sign" }, "✗"), h("span", {}, run.error)), remove(project, run));
  const shown = opened === `${project.name}/${run.name}`;
  return h("section", { class: "run", "aria-label": title(run) },
    h("p", { class: "small over" }, `${title(run)} · ${ago(run.at)}`, is_last ? h("span", { class: "badge" }, t("run.last")) : null),
    h("p", { class: "claim" }, claim(run)), h("p", {}, t(run.tested ? "run.meaning" : "run.meaning.cv", { low: percent(run.ci[0]), high: percent(run.ci[1]) })),
    tiles(run), advice(run),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: is_last ? "primary" : "plain", "data-key": `try-${run.name}`, onclick: () => { chooseRun(run.name); go(project.name, "try"); } }, t("run.try")),
      run.report && h("button", { type: "button", class: "plain", "data-key": `report-${run.name}`, "aria-expanded": shown ? "true" : "false", onclick: () => { opened = shown ? null : `${project.name}/${run.name}`; redraw(); } }, t(shown ? "run.hide" : "run.report")),
      download(project, run), exporter(app, run), remove(project, run)),
    exportsOf(project, run),
    shown ? frame(reportOf(project, run), t("run.report")) : null);
};

const frames = new Map(); // a page inside the page stays loaded when the rest is drawn anew
const frame = (address, name) => {
  if (!frames.has(address)) {
    frames.clear();
    frames.set(address, h("div", { class: "inside" }, h("p", { class: "small" }, h("a", { href: address, target: "_blank", rel: "noopener" }, t("run.tab"))),
      h("iframe", { src: address, title: name, sandbox: "allow-scripts" })));
  }
  return frames.get(address);
};

const download = (project, run) => h("a", { class: "button plain", "data-key": `download-${run.name}`, href: page("runs", project.name, run.name, "model.zip"), download: "" }, icon("download"), t("run.download"));

const exporter = (app, run) => h("button", { type: "button", class: "plain", "data-key": `export-${run.name}`, "aria-haspopup": "menu", disabled: Boolean(app.job), onclick: (event) => menu(event.currentTarget,
  app.project.formats.map((to) => [t(`format.${to}`), async () => { try { await post(at("projects", app.project.name, "runs", run.name, "export"), { to }); } catch (error) { complain(error); } }])) }, t("run.export"));

const exportsOf = (project, run) => {
  const last = project.exported;
  return run.exports.length ? h("ul", { class: "exports" }, run.exports.map((to) => h("li", {},
    h("a", { href: page("runs", project.name, run.name, "export", to), download: "", "data-key": `exported-${run.name}-${to}` }, icon("download"), t(`format.${to}`)),
    last && last.run === run.name && last.to === to ? h("span", { class: "small" }, t("run.parity", { n: last.parity.n, same: Math.round(last.parity.agreement * last.parity.n) }), last.parity.missing ? `; ${t("run.missing", { n: last.parity.missing })}` : null) : null))) : null;
};

const remove = (project, run) => h("button", { type: "button", class: "plain bad", "data-key": `remove-${run.name}`, "aria-label": t("run.remove.n", { n: number(run) }),
  onclick: () => change(post(at("projects", project.name, "runs", run.name, "delete")), t("run.removed", { n: number(run) })) }, icon("bin"), t("run.remove"));

// -- one against another ------------------------------------------------------------------------------------

const compare = async (project, a, b) => {
  against = `${project.name}/${a}/${b}`;
  answer = { wait: true };
  redraw();
  const mine = against;
  let found;
  try { found = await get(at("projects", project.name, "compare"), { a, b }); } catch (error) { found = { refused: error.message }; }
  if (against === mine) { answer = found; redraw(); }
};

const comparison = (app) => {
  const runs = app.project.runs.filter((run) => !run.error);
  if (runs.length < 2) return null;
  const [last, before] = runs;
  const select = (key, value) => h("select", { "data-key": key, "aria-label": t(key) }, runs.map((run) => h("option", { value: run.name, selected: run.name === value }, `${title(run)}: ${percent(run.accuracy)}`)));
  const one = select("compare.a", before.name);
  const two = select("compare.b", last.name);
  const mine = against && against.startsWith(`${app.project.name}/`);
  const [, a, b] = mine ? against.split("/").slice(-3) : [];
  return h("section", {}, h("h2", {}, t("compare.title")), h("p", { class: "lead" }, t("compare.lead")),
    h("table", { class: "runs" }, h("thead", {}, h("tr", {}, ["run", "accuracy", "interval", "pictures"].map((name) => h("th", { scope: "col" }, t(`compare.${name}`))))),
      h("tbody", {}, runs.map((run) => h("tr", {}, h("th", { scope: "row" }, title(run)), h("td", {}, percent(run.accuracy)), h("td", {}, t("run.between", { low: percent(run.ci[0]), high: percent(run.ci[1]) })), h("td", {}, run.used.toLocaleString()))))),
    h("div", { class: "buttons" }, one, h("span", {}, t("compare.and")), two,
      h("button", { type: "button", class: "plain", "data-key": "compare", onclick: () => { const [x, y] = [document.querySelector('[data-key="compare.a"]').value, document.querySelector('[data-key="compare.b"]').value]; if (x === y) toast(t("compare.same")); else compare(app.project, x, y); } }, t("compare.go"))),
    mine && answer ? h("div", { role: "status" }, answer.wait ? h("p", { class: "small" }, t("wait")) : answer.refused ? h("p", { class: "note warn" }, h("span", { class: "sign" }, "!"), h("span", {}, answer.refused))
      : [h("p", { class: "claim less" }, answer.gain_ci95[0] > 0 ? t("compare.better", { a: a.split("-")[0], b: b.split("-")[0] }) : answer.gain_ci95[1] < 0 ? t("compare.worse", { a: a.split("-")[0], b: b.split("-")[0] }) : t("compare.cannot")),
        h("p", {}, t("compare.on", { n: answer.n, gain: (100 * answer.gain).toFixed(1), low: (100 * answer.gain_ci95[0]).toFixed(1), high: (100 * answer.gain_ci95[1]).toFixed(1) })),
        frame(`${page("runs", app.project.name, "compare.html")}?${new URLSearchParams({ a, b })}`, t("compare.title"))]) : null);
};

// -- the view -----------------------------------------------------------------------------------------------

const start = async (project, tune) => {
  try { await post(at("projects", project.name, "train"), { tune }); } catch (error) { complain(error); }
};

const beginning = (app) => {
  const { project } = app;
  const short = missing(project);
  const last = project.last.train;
  const again = last && (last.state === "interrupted" || last.state === "cancelled");
  const box = h("input", { type: "checkbox", "data-key": "tune" });
  return h("section", { class: "hero" }, h("h2", {}, t(project.runs.length ? "train.again" : "train.title")), h("p", { class: "lead" }, t("train.lead")),
    lastWord(last),
    short ? h("p", { class: "note warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "!"), h("span", {}, short)) : null,
    ready(project)
      ? [h("details", { "data-key": "train-options" }, h("summary", {}, t("train.options")), h("div", {}, h("label", { class: "tick" }, box, h("span", {}, t("train.tune"))), h("p", { class: "small" }, t("train.tune.more")))),
        h("div", { class: "buttons" }, h("button", { type: "button", class: "primary large-button", "data-key": "train", onclick: () => start(project, box.checked) }, t(again ? "train.on" : "train.go")))]
      : h("div", { class: "buttons" }, h("button", { type: "button", class: "primary", "data-key": "to-pictures", onclick: () => go(project.name, "pictures") }, t("train.add"))));
};

export const view = (app) => {
  const runs = app.project.runs;
  return [
    app.job ? working(app) : app.project.last.export && app.project.last.export.state !== "done" ? h("section", {}, lastWord(app.project.last.export)) : null,
    app.job ? null : runs.length ? null : beginning(app),
    runs.length ? result(app, runs[0], true) : null,
    app.job || !runs.length ? null : beginning(app),
    comparison(app),
    runs.length > 1 ? h("h2", { class: "apart" }, t("run.earlier")) : null,
    runs.slice(1).map((run) => result(app, run, false)),
  ];
};
