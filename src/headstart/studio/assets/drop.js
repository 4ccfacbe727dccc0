// Pictures on their way in: dropped files, folders and archives, chosen files, camera shots. Each is kept here
// until the studio has confirmed it. A studio that has ended is asked again by the same key once it is back, so
// that nothing is lost and nothing comes in twice.
import { Refusal, at, post, send } from "./api.js";
import { h } from "./dom.js";
import { askName, complain, dialog, t, toast } from "./talk.js";

const AT_ONCE = 3;
const AGAIN_MS = 1000;
const PICTURE = /\.(jpe?g|jpe|jfif|mpo|a?png|webp|gif|bmp|dib|tiff?|avif|heic|heif|hif)$/i;
const ZIP = /\.zip$/i;

export const newBatch = () => [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");

let waiting = 0; // unconfirmed
addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });

let sending = 0;
const next = [];
const turn = () => (sending < AT_ONCE ? (sending += 1, null) : new Promise((resolve) => next.push(resolve)));
const passOn = () => { const one = next.shift(); if (one) one(); else sending -= 1; };

// Send until it is answered, or stopped.
export const deliver = async (path, values, blob, signal) => {
  const key = newBatch();
  waiting += 1;
  await turn();
  try {
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await send(path, { ...values, key }, blob, signal);
      } catch (error) {
        if (error.code !== "gone") throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      // a file that was changed or removed meanwhile fails in the same way, and would do so for ever
      try { await blob.slice(0, 1).arrayBuffer(); } catch { throw new Refusal(t("drop.changed", { name: values.name || blob.name }), "changed", 0); }
    }
  } finally {
    waiting -= 1;
    passOn();
  }
};

const read = (entry, before, found) => new Promise((resolve) => {
  if (entry.name.startsWith(".")) return resolve();
  if (entry.isFile) return entry.file((file) => { found.push({ file, path: before + entry.name }); resolve(); }, () => resolve());
  const reader = entry.createReader();
  const more = () => reader.readEntries(async (entries) => {
    if (!entries.length) return resolve();
    for (const one of entries) await read(one, `${before}${entry.name}/`, found);
    more();
  }, () => resolve());
  more();
});

// Everything in a drop, folders walked through: [{file, path}]. Must be called while the event is being handled.
export const gather = async (transfer) => {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() || item.getAsFile());
  const found = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, path: entry.name });
    else if (entry) await read(entry, "", found);
  }
  return found;
};

export const chosen = (input) => [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

// Ask the system for files. `folder`: a whole folder.
export const choose = ({ folder = false, accept = "image/*,.heic,.heif,.avif,.zip" } = {}) => new Promise((resolve) => {
  const input = h("input", { type: "file", multiple: true, accept: folder ? undefined : accept, class: "hidden", tabindex: "-1", "aria-hidden": "true" });
  if (folder) input.webkitdirectory = true;
  input.addEventListener("change", () => { resolve(chosen(input)); input.remove(); });
  input.addEventListener("cancel", () => { resolve([]); input.remove(); });
  document.body.append(input);
  input.click();
});

// Where the class stands in paths: below the one folder that holds all others, if there is one.
const depthOf = (paths) => {
  const tops = new Set(paths.filter((path) => path.includes("/")).map((path) => path.split("/")[0]));
  return tops.size === 1 && paths.some((path) => path.split("/").length > 2) ? 1 : 0;
};

// Bring files in. `label`: a class, "" for pictures without a label, undefined: by their folders.
export const bring = async (project, files, label, done) => {
  const zips = files.filter((one) => ZIP.test(one.path));
  const pictures = files.filter((one) => !ZIP.test(one.path) && (PICTURE.test(one.path) || one.file.type.startsWith("image/")));
  let skipped = files.length - zips.length - pictures.length;
  if (!zips.length && !pictures.length) {
    if (files.length) toast(t("drop.none"), { kind: "bad" });
    return;
  }
  if (pictures.length > known.most()) {
    toast(t("drop.many", { n: pictures.length, most: known.most() }), { kind: "bad" });
    return;
  }
  const batch = newBatch();
  const depth = depthOf(pictures.map((one) => one.path));
  const loose = label === undefined && pictures.some((one) => one.path.split("/").length - 1 <= depth);
  let home = label;
  if (loose) {
    home = await askClass(project, t("drop.which", { n: pictures.length }));
    if (home === undefined) return;
  }
  const stop = new AbortController();
  const total = pictures.length + zips.length;
  const word = toast(t("drop.going", { done: 0, total }), { stays: true, action: [t("drop.stop"), () => stop.abort()] });
  let added = 0;
  let tried = 0;
  let trouble = null;
  let heif = 0;
  const whither = (path) => {
    const parts = path.split("/").slice(0, -1);
    return label === undefined && parts.length > depth ? { folder: parts[depth] } : { label: home };
  };
  const one = async (given) => {
    try {
      if (ZIP.test(given.path)) {
        const found = await deliver(at("projects", project, "zip"), { label, batch }, given.file, stop.signal);
        added += found.added;
        heif += found.skipped["no heif"] || 0;
        skipped += Object.values(found.skipped).reduce((sum, n) => sum + n, 0) - (found.skipped["no heif"] || 0);
      } else {
        await deliver(at("projects", project, "pictures"), { ...whither(given.path), name: given.path.split("/").pop(), batch }, given.file, stop.signal);
        added += 1;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "not-a-picture") skipped += 1;
      else if (error.code === "no-heif") heif += 1;
      else { trouble = error; if (error.status === 404 || error.code === "too-many") stop.abort(); }
    }
    tried += 1;
    word.say(t("drop.going", { done: tried, total }), tried / total);
  };
  const queue = [...pictures, ...zips];
  const worker = async () => { while (queue.length && !stop.signal.aborted) await one(queue.shift()); };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  word.end();
  if (trouble) complain(trouble);
  if (heif) toast(t("drop.heif", { n: heif }), { kind: "bad" });
  if (added || skipped) {
    const said = t("drop.done", { n: added }) + (skipped ? ` ${t("drop.skipped", { n: skipped })}` : "");
    toast(said, { kind: added ? "good" : "plain" });
  }
  if (done) done();
};

// What the rest of the page knows: the classes of a project, and how many pictures may come at once.
let known = { classes: () => [], most: () => Infinity };
export const tell = (how) => { known = how; };

// Which class? Resolves with its name (made if new), "" for later, or undefined.
export const askClass = async (project, title, { later = true } = {}) => {
  const NEW = {};
  const there = known.classes(project);
  const found = !there.length ? NEW : await dialog(title, (close) => h("div", { class: "choices" },
    there.map((name, n) => h("button", { type: "button", class: "plain", autofocus: n === 0, onclick: () => close(name) }, name)),
    h("button", { type: "button", class: "plain", onclick: () => close(NEW) }, t("drop.new")),
    later && h("button", { type: "button", class: "plain", onclick: () => close("") }, t("drop.later"))));
  if (found !== NEW) return found;
  const name = await askName(t("class.new"), { label: t("class.name"), yes: t("class.make"), hint: t("class.hint") });
  if (!name) return undefined;
  try {
    return (await post(at("projects", project, "classes"), { name, may_exist: true })).name;
  } catch (error) {
    complain(error);
    return undefined;
  }
};

// Make an element take drops. `take(files)`; `move()` where tiles of the page are dropped on it.
export const dropzone = (one, take, move) => {
  let depth = 0;
  const is_ours = (event) => event.dataTransfer.types.includes("application/x-headstart");
  const wants = (event) => event.dataTransfer.types.includes("Files") || (move && is_ours(event));
  one.addEventListener("dragenter", (event) => { if (wants(event)) { event.preventDefault(); event.stopPropagation(); depth += 1; one.classList.add("over"); } });
  one.addEventListener("dragleave", (event) => { if (wants(event)) { event.stopPropagation(); depth -= 1; if (depth <= 0) { depth = 0; one.classList.remove("over"); } } });
  one.addEventListener("dragover", (event) => { if (wants(event)) { event.preventDefault(); event.stopPropagation(); event.dataTransfer.dropEffect = is_ours(event) ? "move" : "copy"; } });
  one.addEventListener("drop", async (event) => {
    if (!wants(event)) return;
    event.preventDefault();
    event.stopPropagation();
    depth = 0;
    one.classList.remove("over");
    if (is_ours(event)) move();
    else take(await gather(event.dataTransfer));
  });
  return one;
};
