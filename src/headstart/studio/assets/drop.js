// Pictures on their way in: dropped files, folders and archives, chosen files, camera shots.
import { at, post, send } from "./api.js";
import { h } from "./dom.js";
import { askName, complain, dialog, t, toast } from "./talk.js";

const AT_ONCE = 3;
const PICTURE = /\.(jpe?g|jpe|jfif|mpo|a?png|webp|gif|bmp|dib|tiff?|avif|heic|heif|hif)$/i;
const ZIP = /\.zip$/i;

export const newBatch = () => [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");

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
  const known = new Map();
  const classOf = async (path) => {
    if (label !== undefined) return label;
    const parts = path.split("/").slice(0, -1);
    if (parts.length <= depth) return home;
    const name = parts[depth];
    if (!known.has(name)) known.set(name, makeClass(project, name));
    return known.get(name);
  };
  const one = async (given) => {
    try {
      if (ZIP.test(given.path)) {
        const found = await send(at("projects", project, "zip"), { label: label === undefined ? null : label, batch }, given.file, stop.signal);
        added += found.added;
        skipped += Object.values(found.skipped).reduce((sum, n) => sum + n, 0);
      } else {
        await send(at("projects", project, "pictures"), { label: await classOf(given.path), name: given.path.split("/").pop(), batch }, given.file, stop.signal);
        added += 1;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "not-a-picture") skipped += 1;
      else { trouble = error; if (error.code === "gone" || error.status === 404) stop.abort(); }
    }
    tried += 1;
    word.say(t("drop.going", { done: tried, total }), tried / total);
  };
  const queue = [...pictures, ...zips];
  const worker = async () => { while (queue.length && !stop.signal.aborted) await one(queue.shift()); };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  word.end();
  if (trouble) complain(trouble);
  if (added || skipped) {
    const said = t("drop.done", { n: added }) + (skipped ? ` ${t("drop.skipped", { n: skipped })}` : "");
    toast(said, { kind: added ? "good" : "plain" });
  }
  if (done) done();
};

// A class for files that came with a folder's name; a name that cannot be one is asked for.
const makeClass = async (project, name) => {
  try {
    return (await post(at("projects", project, "classes"), { name, may_exist: true })).name;
  } catch (error) {
    if (error.code === "class-there" || !String(error.code).startsWith("name-")) {
      if (error.code === "class-there") {
        const there = classesOf(project).find((one) => one.toLowerCase() === name.toLowerCase());
        if (there) return there;
      }
      throw error;
    }
    const clean = name.replace(/[\\/:*?"<>|.\u0000-\u001f]+/g, " ").trim() || "class";
    return (await post(at("projects", project, "classes"), { name: `${clean} `.trim().slice(0, 60), may_exist: true })).name;
  }
};

let classesOf = () => [];
export const tellClasses = (how) => { classesOf = how; };

// Which class? Resolves with its name (made if new), "" for later, or undefined.
export const askClass = async (project, title, { later = true } = {}) => {
  const NEW = {};
  const there = classesOf(project);
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
