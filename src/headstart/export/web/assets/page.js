// What is seen and pressed. Pictures go to worker.js and come back with an answer; nothing goes elsewhere.

import { answer, safeLink, sure } from "./answer.js";

const FORMAT = 1; // of model.json
const BARS = 5; // classes whose probabilities are drawn, at most
const LIVE_BARS = 3; // in the camera's answer, which should not change its size
const NAMED = 12; // classes that are named in a sentence

const $ = (id) => document.getElementById(id);
// A worker that came from an address would have the rules of that address's headers, and a plain host sends
// none. One that the page makes itself has the page's: it may ask this folder and nobody else.
const inside = `import ${JSON.stringify(new URL("worker.js", location.href).href)};`;
const worker = new Worker(URL.createObjectURL(new Blob([inside], { type: "text/javascript" })), { type: "module" });
const waiting = new Map(); // what to do with the worker's word, by number
const shown = []; // { name, said, reason, card }, in the order asked

let model;
let asked = 0;
let left = 0; // pictures without an answer

// -- starting ---------------------------------------------------------------------------------------------

$("unserved").hidden = true;
$("opening").hidden = false;
theme();

worker.onmessage = ({ data }) => {
  if (data.kind === "progress") $("bar").value = data.done / data.total;
  else if (data.kind === "ready") ready(data);
  else if (data.kind === "broken") broken(data.reason);
  else {
    waiting.get(data.id)(data);
    waiting.delete(data.id);
  }
};
worker.onerror = (event) => broken(event.message || "this browser is too old: it needs modules in workers");

async function begin() {
  try {
    const response = await fetch("model.json", { cache: "no-cache" });
    if (!response.ok) throw new Error(`model.json cannot be loaded: ${response.status} ${response.statusText}`);
    model = await response.json();
    if (model.format !== FORMAT) throw new Error(`model.json has format ${model.format}, this page reads ${FORMAT}`);
    describe();
    worker.postMessage({ model });
  } catch (error) {
    broken(error.message);
  }
}

function ready({ exact, tellsUnknown }) {
  $("opening").hidden = true;
  $("ways").hidden = false;
  $("blurred").hidden = exact;
  if (!tellsUnknown) $("strange").textContent = "This model file cannot tell what it does not know.";
  document.body.dataset.ready = "yes";
}

function broken(reason) {
  $("opening").hidden = true;
  $("ways").hidden = true;
  $("broken").hidden = false;
  $("broken").lastElementChild.textContent = `It cannot start: ${reason}`;
}

function describe() {
  const { classes, backbone, parity } = model;
  $("name").textContent = model.title;
  document.title = `${model.title}: what is in the picture?`;
  $("classes").textContent = `It tells ${classes.length} classes apart: ${listed(classes.map(titled), NAMED)}.`;
  $("many").textContent = `these ${classes.length} classes`;
  for (const coverage of Object.keys(model.set_scores_quantile)) {
    const option = new Option(`${percent(coverage)} of cases`, coverage);
    option.selected = coverage === "0.95";
    $("coverage").append(option);
  }
  const facts = {
    Network: `${backbone.name} (${backbone.licence})`,
    Source: backbone.citation,
    Checked: parity?.n && `on ${parity.n} pictures when it was exported`,
    Model: model.model,
    Written: `by headstart ${model.version}`,
  };
  for (const [name, value] of Object.entries(facts)) {
    if (value) $("facts").append(element("dt", {}, name), element("dd", {}, value));
  }
}

// -- pictures and their answers ---------------------------------------------------------------------------

function ask(picture, transfer = []) {
  const id = asked++;
  const answered = new Promise((resolve) => waiting.set(id, resolve));
  worker.postMessage({ id, picture }, transfer);
  return answered;
}

async function take(files) {
  const own = [...files].map((file) => {
    const name = file.name || "pasted picture";
    return { file, name, card: waitingCard(name) };
  });
  if (!own.length) return;
  add(own);
  left += own.length;
  for (const one of own) {
    tell(one);
    if (shown.includes(one)) fill(one, await ask(one.file)); // else it was cleared meanwhile
    left -= 1;
  }
  tell(own.at(-1));
}

function add(own) {
  $("answers").hidden = false;
  $("cards").prepend(...own.map(({ card }) => card));
  shown.push(...own);
}

function fill(one, found) {
  delete one.file; // the square is enough from now on
  one.card.classList.remove("waiting");
  if (found.kind === "failed") {
    one.reason = found.reason;
    one.card.replaceChildren(
      element("span", { className: "pic none", ariaHidden: "true" }, "no picture"),
      element("div", {}, fileName(one.name), element("p", { className: "bad" }, `Not read: ${found.reason}.`)),
    );
  } else {
    one.raw = found;
    draw(one);
  }
  $("cards").dataset.answered = shown.filter(isAnswered).length;
}

const isAnswered = (one) => one.raw !== undefined || one.reason !== undefined;

function draw(one) {
  one.said = answered(one.raw);
  one.card.classList.toggle("unknown", one.said.unknown === true);
  one.card.replaceChildren(canvas(one.raw), element("div", {}, fileName(one.name), ...lines(one.said)));
}

function answered({ probabilities, unknownScore }) {
  return answer(probabilities, unknownScore, model, $("coverage").value);
}

/** What is said of one picture, as elements: the label, bars of the classes that count, the set. */
function lines(said, live = false) {
  const title = element("p", { className: "said" });
  if (said.unknown) {
    const strange = element("span", { className: "strange" }, "Unknown");
    title.append(strange, element("span", { className: "nearest" }, "nearest: ", linked(said.label)));
  } else title.append(linked(said.label));
  const order = Object.entries(said.probabilities).sort((a, b) => b[1] - a[1]);
  const counts = ([, share], at) => (live ? at < LIVE_BARS : at < 2 || (at < BARS && share >= 0.005));
  const bars = order.filter(counts).map(([name, share]) => element("li", {},
    element("span", { className: "class" }, titled(name)),
    element("span", { className: "share" }, sure(share)),
    bar(share),
  ));
  const set = element("p", { className: "sets" });
  if (said.unknown) set.append("A set says nothing about what it does not know.");
  else set.append(`Set for ${percent($("coverage").value)}: `, element("b", {}, listed(said.set.map(titled), NAMED)));
  return [title, element("ul", { className: "bars" }, ...bars), set];
}

function bar(share) {
  const full = element("span", { className: "full" });
  full.style.width = `${100 * share}%`;
  return element("span", { className: "track", ariaHidden: "true" }, full);
}

function tell(last) {
  if (left) $("status").textContent = `${left} to go…`;
  else if (shown.includes(last)) {
    const { said, reason, name } = last;
    const told = () => `${said.unknown ? "unknown, nearest " : ""}${titled(said.label)}, ${sure(said.probability)}`;
    const before = shown.length === 1 ? "" : `${shown.length} pictures. Last: `;
    $("status").textContent = `${before}${name}: ${reason ? `not read: ${reason}` : told()}`;
  }
}

function waitingCard(name) {
  return element("article", { className: "card waiting" },
    element("span", { className: "pic none", ariaHidden: "true" }, "…"),
    element("div", {}, fileName(name), element("p", { className: "sets" }, "Looking…")));
}

/** The square that the network got, as a picture. */
function canvas({ pixels, size }) {
  const found = element("canvas", { width: size, height: size, role: "img", ariaLabel: "what was looked at" });
  const data = new ImageData(size, size);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
    data.data.set(pixels.subarray(from, from + 3), to);
    data.data[to + 3] = 255;
  }
  found.getContext("2d").putImageData(data, 0, 0);
  return found;
}

function linked(label) {
  const href = safeLink(model.infos[label]?.url);
  if (!href) return element("span", {}, titled(label));
  return element("a", { href, target: "_blank", rel: "noopener noreferrer" }, titled(label));
}

const percent = (share) => `${Math.round(1000 * share) / 10}\u00a0%`;
const titled = (label) => model.infos[label]?.title || label;
const fileName = (name) => element("p", { className: "file", title: name }, name);

function listed(names, most) {
  const rest = names.length - most;
  return rest > 1 ? `${names.slice(0, most).join(", ")} and ${rest} more` : names.join(", ");
}

/** An element with these properties; texts stay texts. */
function element(kind, properties, ...inside) {
  const found = document.createElement(kind);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role") found.setAttribute("role", value);
    else found[name] = value;
  }
  found.append(...inside);
  return found;
}

// -- ways in ----------------------------------------------------------------------------------------------

const isReady = () => document.body.dataset.ready === "yes";

$("choose").onclick = () => $("files").click();
$("files").onchange = () => {
  take($("files").files);
  $("files").value = ""; // so that the same file can be chosen again
};

addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser would open the file in place of the page
  document.body.classList.toggle("over", isReady());
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (isReady()) take(event.dataTransfer.files);
});
addEventListener("paste", (event) => {
  if (isReady()) take(event.clipboardData.files);
});

$("coverage").onchange = () => {
  for (const one of shown) if (one.raw) draw(one);
};
$("clear").onclick = () => {
  shown.length = 0;
  $("cards").dataset.answered = 0;
  $("cards").replaceChildren();
  $("status").textContent = "";
  $("answers").hidden = true;
  $("choose").focus();
};
$("save").onclick = () => {
  const rows = shown.filter(isAnswered).map(({ name, said, reason }) =>
    JSON.stringify({ path: name, ...(said ?? { error: reason }) }),
  );
  const href = URL.createObjectURL(new Blob([rows.join("\n"), "\n"], { type: "application/jsonl" }));
  element("a", { href, download: "answers.jsonl" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
};

function theme() {
  const dark = () => {
    const own = document.documentElement.dataset.theme;
    return own ? own === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const name = () => { $("theme").textContent = dark() ? "Light colours" : "Dark colours"; };
  $("theme").hidden = false;
  $("theme").onclick = () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    name();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

// -- the camera -------------------------------------------------------------------------------------------

const video = $("video");
let current; // the last frame and its answer
let cameras = [];
let attempt = 0; // the latest start or stop: whoever finds another number has been overtaken

$("camera").onclick = () => start({ facingMode: "environment" });
$("stop").onclick = () => {
  stop();
  $("camera").focus();
};
$("other").onclick = () => {
  const own = video.srcObject?.getVideoTracks()[0].getSettings().deviceId;
  const at = cameras.findIndex((one) => one.deviceId === own);
  start({ deviceId: { exact: cameras[(at + 1) % cameras.length].deviceId } });
};
$("keep").onclick = () => {
  const name = `camera ${new Date().toLocaleTimeString()}`;
  const one = { name, card: waitingCard(name) };
  add([one]);
  fill(one, current);
  tell(one);
};

async function start(wanted) {
  stop();
  const own = attempt;
  $("live").hidden = false;
  $("live").scrollIntoView({ block: "start" });
  $("keep").disabled = true;
  $("now").replaceChildren(element("p", { className: "small" }, "Waiting for the camera…"));
  let stream;
  try {
    stream = await camera(wanted);
    if (own !== attempt) return release(stream);
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    if (own !== attempt) return;
    stop();
    $("live").hidden = false;
    const why = NO_CAMERA[error.name] ?? `The camera does not start: ${error.message}`;
    $("now").replaceChildren(element("p", { className: "bad" }, why));
    return;
  }
  const [track] = stream.getVideoTracks();
  track.onended = stop;
  video.parentElement.classList.toggle("mirrored", track.getSettings().facingMode !== "environment");
  cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
  $("other").hidden = cameras.length < 2;
  while (own === attempt) {
    await look(own);
    await new Promise(requestAnimationFrame); // stands still while the page is not seen
  }
}

const NO_CAMERA = {
  SecurityError: "A browser opens the camera only at https addresses and at localhost.",
  NotAllowedError: "The camera was not allowed. Allow it in the browser's settings for this page.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is used by another program.",
};

function camera(wanted) {
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
  return navigator.mediaDevices.getUserMedia({ audio: false, video: { ...wanted, ...size } });
}

const release = (stream) => stream.getTracks().forEach((track) => track.stop());

async function look(own) {
  const { videoWidth: width, videoHeight: height } = video;
  if (!width) return;
  frame(width, height);
  const bitmap = await createImageBitmap(video);
  const found = await ask(bitmap, [bitmap]);
  if (own !== attempt || found.kind === "failed") return;
  current = found;
  $("keep").disabled = false;
  const said = answered(found);
  $("now").className = said.unknown ? "now unknown" : "now";
  $("now").replaceChildren(...lines(said, true));
  $("pace").textContent = `${Math.round(found.ms)}\u00a0ms per look.`;
}

function frame(width, height) {
  const { size_px: size, resize_px: resized } = model.preprocess;
  const side = (Math.min(width, height) * size) / resized;
  Object.assign($("sees").style, {
    width: `${(100 * side) / width}%`,
    height: `${(100 * side) / height}%`,
    left: `${50 - (50 * side) / width}%`,
    top: `${50 - (50 * side) / height}%`,
  });
}

function stop() {
  attempt += 1;
  if (video.srcObject) release(video.srcObject);
  video.srcObject = null;
  $("live").hidden = true;
}

begin();
