// Reads pictures and runs the network, beside the page, so that the page never stands still.

import * as ort from "./runtime/ort.js";
import { orientation, sniff, square, upright } from "./picture.js";

const LIMIT_PX = 100_000_000;
const AS_THEY_ARE = { premultiplyAlpha: "none", colorSpaceConversion: "none" };

let model;
let session;

let last = Promise.resolve();

onmessage = ({ data }) => (last = last.then(() => handle(data))); // one after the other

async function handle(data) {
  try {
    postMessage(data.id === undefined ? await open(data.model) : await ask(data));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    postMessage({ kind: data.id === undefined ? "broken" : "failed", id: data.id, reason });
  }
}

async function open(described) {
  model = described;
  const names = ["model.onnx", "runtime/ort.wasm"];
  const total = names.reduce((sum, name) => sum + model.files[name].bytes, 0);
  let done = 0;
  const step = (bytes) => postMessage({ kind: "progress", done: (done += bytes), total });
  const [network, runtime] = await Promise.all(names.map((name) => fetched(name, model.files[name], step)));
  ort.env.wasm.wasmBinary = runtime.buffer;
  ort.env.wasm.numThreads = 1; // more need headers that a plain host does not send
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(network);
  await run(new Uint8Array(model.preprocess.size_px ** 2 * 3)); // the first run is slow
  return { kind: "ready", exact: reads(), tellsUnknown: session.outputNames.includes("unknown_score") };
}

/** A file of this folder. The digest in its address keeps a browser from using one that it kept of an older page. */
async function fetched(name, { bytes, sha256 }, step) {
  // the worker itself has no address of its own: see page.js
  const response = await fetch(new URL(`${name}?${sha256.slice(0, 16)}`, import.meta.url));
  if (!response.ok) throw new Error(`${name} cannot be loaded: ${response.status} ${response.statusText}`);
  const found = new Uint8Array(bytes);
  let at = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > bytes) throw new Error(`${name} is longer than the ${bytes} bytes that it should have`);
    found.set(value, at);
    at += value.length;
    step(value.length);
  }
  if (at !== bytes) throw new Error(`${name} has ${at} bytes and should have ${bytes}: reload the page`);
  return found;
}

async function ask({ id, picture }) {
  const begin = performance.now();
  const pixels = picture instanceof ImageBitmap ? fromBitmap(picture, "", 1) : await fromFile(picture);
  const found = await run(pixels);
  return { kind: "answer", id, pixels, size: model.preprocess.size_px, ms: performance.now() - begin, ...found };
}

async function run(pixels) {
  const size = model.preprocess.size_px;
  const input = new ort.Tensor("uint8", pixels, [1, size, size, 3]);
  const wanted = session.outputNames.filter((name) => name === "probabilities" || name === "unknown_score");
  const found = await session.run({ pixels: input }, wanted);
  return { probabilities: Array.from(found.probabilities.data), unknownScore: found.unknown_score?.data[0] };
}

async function fromFile(file) {
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error("cannot be read (is it a folder?)");
  }
  if (!bytes.length) throw new Error("the file is empty");
  const format = sniff(bytes);
  if (!format) throw new Error("not a picture");
  const { turn, plain } = orientation(bytes, format);
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([plain]), AS_THEY_ARE);
  } catch {
    const rarely = format === "TIFF" || format === "HEIF" ? ", or one of a kind that this browser does not read" : "";
    throw new Error(`a damaged ${format}${rarely}`);
  }
  return fromBitmap(bitmap, format, turn);
}

function fromBitmap(bitmap, format, turn) {
  const { width, height } = bitmap;
  try {
    if (width * height > LIMIT_PX) throw new Error(`${width} x ${height} pixels are over the limit of 100,000,000`);
    const read = reader(bitmap, model.preprocess.background);
    const found = square(read, width, height, format, model.preprocess);
    return upright(found, model.preprocess.size_px, turn);
  } finally {
    bitmap.close();
  }
}

/** A function that gives parts of a bitmap as RGBA bytes, transparent pixels over `background`. */
function reader(bitmap, background) {
  let canvas;
  return (x, y, width, height) => {
    if (canvas?.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
    const brush = canvas.getContext("2d", { willReadFrequently: true });
    brush.imageSmoothingEnabled = false;
    brush.fillStyle = `rgb(${background.join(" ")})`;
    brush.fillRect(0, 0, width, height);
    brush.drawImage(bitmap, x, y, width, height, 0, 0, width, height);
    return brush.getImageData(0, 0, width, height).data;
  };
}

/** Whether what is read from a canvas is what was put there. */
function reads() {
  const put = new ImageData(64, 64);
  put.data.forEach((_, at) => (put.data[at] = at % 4 === 3 ? 255 : ((at * 37) >> 3) & 255));
  const canvas = new OffscreenCanvas(64, 64);
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.putImageData(put, 0, 0);
  return brush.getImageData(0, 0, 64, 64).data.every((value, at) => value === put.data[at]);
}
