// From the pixels of a picture, as the browser decoded them, to what the network gets: the same steps and the
// same integer arithmetic as in Python, so that equal pixels give equal bytes. No part of the page is used here.

const AVERAGED = 2; // a JPEG keeps at least so many pixels for each wanted one when it is averaged first
const GAP = 3; // other large pictures are averaged while so many pixels for each wanted one are left
const SUPPORT = { bilinear: 1, bicubic: 2 };
const BITS = 22; // of the weights' fraction
const STRIP = 1 << 22; // pixels that are read at once
const HALF = 1 << (BITS - 1);

/** The format that a file's first bytes announce: JPEG, PNG, GIF, WEBP, BMP, TIFF, AVIF, HEIF; "" for all else. */
export function sniff(head) {
  const text = String.fromCharCode(...head.subarray(0, 64));
  if (text.startsWith("\xff\xd8\xff")) return "JPEG";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (text.startsWith("GIF87a") || text.startsWith("GIF89a")) return "GIF";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "WEBP";
  if (text.startsWith("BM")) return "BMP";
  if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(text.slice(0, 4))) return "TIFF";
  if (text.slice(4, 8) === "ftyp") {
    const end = Math.min(view(head).getUint32(0), text.length);
    const brands = [text.slice(8, 12)];
    for (let at = 16; at < end; at += 4) brands.push(text.slice(at, at + 4));
    if (brands.some((one) => one === "avif" || one === "avis")) return "AVIF";
    if (brands.some((one) => /^(hei[cxms]|hev[cxms]|m[is]f1)$/.test(one))) return "HEIF";
  }
  return "";
}

/**
 * How the camera was held: EXIF orientation 1 to 8, and the file's bytes without that word.
 *
 * Browsers turn some formats by themselves, and none can be told not to. A picture is resized as it lies in the
 * file, and then turned. XMP counts where EXIF is silent.
 */
export function orientation(bytes, format) {
  const blocks = [...({ JPEG: jpegBlocks, PNG: pngBlocks, WEBP: webpBlocks }[format]?.(bytes) ?? [])];
  const exif = blocks.find((one) => one.kind === "exif");
  const xmp = blocks.find((one) => one.kind === "xmp");
  const inXmp = () => xmp && /tiff:Orientation(?:="|>)([0-9])/.exec(latin(xmp.body))?.[1];
  const told = (exif && orientationOf(exif.body)) ?? inXmp();
  const turn = told >= 1 && told <= 8 ? Number(told) : 1;
  return { turn, plain: turn === 1 ? bytes : without(bytes, blocks, format) };
}

/** Where the central square lies in a picture of this size, and how it is reduced. */
export function plan(width, height, format, preprocess) {
  const { size_px: size, resize_px: resized, interpolation } = preprocess;
  const enough = resized * AVERAGED;
  const spare = Math.min(Math.floor(width / enough), Math.floor(height / enough));
  const first = format === "JPEG" ? [8, 4, 2, 1].find((one) => spare >= one) ?? 1 : 1;
  const across = width / first;
  const down = height / first;
  const half = (Math.min(across, down) * size) / resized / 2;
  const box = [inside(across, half), inside(down, half)]; // [from, to] along x and along y
  const whole = [Math.ceil(across), Math.ceil(down)];
  const second = box.map(([from, to]) => Math.trunc((to - from) / size / GAP) || 1);
  const averaged = second[0] > 1 || second[1] > 1;
  const region = box.map(([from, to], axis) => {
    const scale = (to - from) / size;
    const support = SUPPORT[interpolation];
    const reach = averaged ? (support - 0.5) * scale : support * Math.max(scale, 1) + 1;
    return [Math.max(0, Math.trunc(from - reach)), Math.min(whole[axis], Math.ceil(to + reach))];
  });
  return { first, second, averaged, box, region, whole, size, interpolation };
}

/**
 * The square that the network gets, RGB bytes [size, size, 3], as it lies in the file.
 *
 * `read(x, y, width, height)` gives RGBA bytes of a part of the picture, which has `width` x `height` pixels.
 */
export function square(read, width, height, format, preprocess) {
  const todo = plan(width, height, format, preprocess);
  const { first, second, size } = todo;
  const [[left, right], [top, bottom]] = todo.region;
  let [wide, high] = [right - left, bottom - top];
  let pixels = new Uint8Array(wide * high * 3);
  const rows = Math.max(1, Math.floor(STRIP / (wide * first * first)));
  for (let row = 0; row < high; row += rows) {
    const y = (top + row) * first;
    const w = Math.min(right * first, width) - left * first;
    const h = Math.min((top + Math.min(row + rows, high)) * first, height) - y;
    pixels.set(averages(read(left * first, y, w, h), w, h, 4, first, first), row * wide * 3);
  }
  let { box, whole } = todo;
  let start = [left, top];
  if (todo.averaged) {
    pixels = averages(pixels, wide, high, 3, ...second);
    [wide, high] = whole = [Math.ceil(wide / second[0]), Math.ceil(high / second[1])];
    box = box.map((ends, axis) => ends.map((end) => (end - start[axis]) / second[axis]));
    start = [0, 0];
  }
  const [across, down] = [0, 1].map((axis) => weights(whole[axis], box[axis], todo));
  const downFirst = whole[1] - size > 2 * Math.max(0, whole[0] - size); // as Pillow does with tall pictures
  return resize(pixels, wide, start, across, down, downFirst);
}

/** A square of RGB bytes turned upright. */
export function upright(pixels, size, orientation) {
  if (orientation < 2 || orientation > 8) return pixels;
  const found = new Uint8Array(pixels.length);
  const last = size - 1;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [u, v] = orientation >= 5 ? [y, x] : [x, y];
      const from = [2, 3, 7, 8].includes(orientation) ? last - u : u;
      const row = [3, 4, 6, 7].includes(orientation) ? last - v : v;
      const source = (row * size + from) * 3;
      found.set(pixels.subarray(source, source + 3), (y * size + x) * 3);
    }
  }
  return found;
}

/** RGB means of blocks of `across` x `down` pixels, of fewer at the far edges. `depth` bytes make a pixel. */
export function averages(pixels, width, height, depth, across, down) {
  const [wide, high] = [Math.ceil(width / across), Math.ceil(height / down)];
  const found = new Uint8Array(wide * high * 3);
  let at = 0;
  for (let row = 0; row < high; row++) {
    const rows = Math.min(down, height - row * down);
    for (let column = 0; column < wide; column++) {
      const columns = Math.min(across, width - column * across);
      const area = rows * columns;
      const factor = Math.trunc(Math.fround(2 ** 32 / Math.fround(256 * area)));
      let r = area >> 1;
      let g = r;
      let b = r;
      for (let y = 0; y < rows; y++) {
        let from = ((row * down + y) * width + column * across) * depth;
        for (let x = 0; x < columns; x++, from += depth) {
          r += pixels[from];
          g += pixels[from + 1];
          b += pixels[from + 2];
        }
      }
      found[at++] = Math.imul(r, factor) >>> 24;
      found[at++] = Math.imul(g, factor) >>> 24;
      found[at++] = Math.imul(b, factor) >>> 24;
    }
  }
  return found;
}

/** For each wanted pixel along one axis: the first pixel that counts, how many do, and their weights. */
export function weights(length, [begin, end], { size, interpolation }) {
  const [from, to] = [Math.fround(begin), Math.fround(end)];
  const scale = Math.fround(to - from) / size;
  const wider = Math.max(scale, 1);
  const support = SUPPORT[interpolation] * wider;
  const curve = interpolation === "bicubic" ? bicubic : bilinear;
  const most = Math.ceil(support) * 2 + 1;
  const [first, count, values] = [size, size, size * most].map((n) => new Int32Array(n));
  const own = new Float64Array(most);
  for (let at = 0; at < size; at++) {
    const centre = from + (at + 0.5) * scale;
    first[at] = Math.max(0, Math.trunc(centre - support + 0.5));
    count[at] = Math.min(length, Math.trunc(centre + support + 0.5)) - first[at];
    let sum = 0;
    for (let i = 0; i < count[at]; i++) {
      own[i] = curve((i + first[at] - centre + 0.5) * (1 / wider));
      sum += own[i];
    }
    for (let i = 0; i < count[at]; i++) {
      const share = sum !== 0 ? own[i] / sum : own[i];
      values[at * most + i] = Math.trunc(share * (1 << BITS) + (share < 0 ? -0.5 : 0.5));
    }
  }
  return { size, first, count, most, values };
}

/**
 * RGB bytes [rows, wide, 3] that begin at `start` of the picture, resized to [down, across, 3].
 *
 * First along x, then along y, each sum rounded to a byte. `downFirst`: the other way round.
 */
function resize(pixels, wide, [left, top], across, down, downFirst) {
  if (downFirst) return alongX(alongY(pixels, wide, top, down), wide, down.size, left, across);
  const begin = down.first[0]; // rows that nobody needs are left out
  const end = down.first[down.size - 1] + down.count[down.size - 1];
  const needed = pixels.subarray((begin - top) * wide * 3, (end - top) * wide * 3);
  return alongY(alongX(needed, wide, end - begin, left, across), across.size, begin, down);
}

function alongX(pixels, wide, high, left, { size, first, count, most, values }) {
  const found = new Uint8Array(high * size * 3);
  let to = 0;
  for (let row = 0; row < high; row++) {
    for (let x = 0; x < size; x++) {
      let from = (row * wide + first[x] - left) * 3;
      let r = HALF;
      let g = HALF;
      let b = HALF;
      const end = x * most + count[x];
      for (let at = x * most; at < end; at++, from += 3) {
        const weight = values[at];
        r += pixels[from] * weight;
        g += pixels[from + 1] * weight;
        b += pixels[from + 2] * weight;
      }
      found[to++] = byte(r);
      found[to++] = byte(g);
      found[to++] = byte(b);
    }
  }
  return found;
}

function alongY(pixels, wide, top, { size, first, count, most, values }) {
  const line = wide * 3;
  const found = new Uint8Array(size * line);
  for (let y = 0; y < size; y++) {
    const start = (first[y] - top) * line;
    for (let x = 0; x < line; x++) {
      let sum = HALF;
      for (let i = 0; i < count[y]; i++) sum += pixels[start + i * line + x] * values[y * most + i];
      found[y * line + x] = byte(sum);
    }
  }
  return found;
}

const byte = (sum) => Math.min(255, Math.max(0, sum >> BITS));

const bilinear = (x) => Math.max(0, 1 - Math.abs(x));

function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Where a stretch of 2 x `half` in the middle of `length` begins and ends. */
function inside(length, half) {
  half = Math.min(half, length / 2);
  const middle = Math.min(Math.max(length / 2, half), length - half);
  return [middle - half, middle + half];
}

// -- where the orientation is told ------------------------------------------------------------------------

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const latin = (bytes) => new TextDecoder("latin1").decode(bytes);
const begins = (bytes, text) => latin(bytes.subarray(0, text.length)) === text;

/** The orientation that a TIFF header leads to; undefined where there is none or it is broken. */
function orientationOf(exif) {
  const bytes = begins(exif, "Exif\0\0") ? exif.subarray(6) : exif;
  const little = begins(bytes, "II");
  if (!little && !begins(bytes, "MM")) return undefined;
  const data = view(bytes);
  try {
    const start = data.getUint32(4, little);
    const entries = data.getUint16(start, little);
    for (let at = start + 2; at < start + 2 + entries * 12; at += 12) {
      if (data.getUint16(at, little) !== 0x0112) continue;
      return data.getUint16(at + 2, little) === 4 ? data.getUint32(at + 8, little) : data.getUint16(at + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it ends too early
  }
  return undefined;
}

/** The file without these blocks. In WebP they stay and get a name that nobody knows. */
function without(bytes, blocks, format) {
  const found = new Uint8Array(bytes);
  let end = 0;
  let last = 0;
  for (const { from, to } of [...blocks, { from: bytes.length, to: bytes.length }]) {
    if (format === "WEBP") {
      if (from < to) found.fill(0x78, from, from + 4);
      continue;
    }
    found.set(bytes.subarray(last, from), end);
    end += from - last;
    last = to;
  }
  return format === "WEBP" ? found : found.subarray(0, end);
}

function* jpegBlocks(bytes) {
  const data = view(bytes);
  for (let at = 2; at + 4 <= bytes.length; ) {
    if (bytes[at] !== 0xff) break;
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1; // a fill byte
      continue;
    }
    if (marker === 0xda || marker === 0xd9) break; // the picture itself
    const to = at + 2 + data.getUint16(at + 2);
    const body = bytes.subarray(at + 4, to);
    if (marker === 0xe1 && begins(body, "Exif\0\0")) yield { kind: "exif", from: at, to, body };
    if (marker === 0xe1 && begins(body, "http://ns.adobe.com/xap/1.0/\0")) yield { kind: "xmp", from: at, to, body };
    at = to;
  }
}

function* pngBlocks(bytes) {
  const data = view(bytes);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const to = at + 12 + data.getUint32(at);
    const kind = latin(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, to - 4);
    if (kind === "eXIf") yield { kind: "exif", from: at, to, body };
    if (kind === "iTXt" && begins(body, "XML:com.adobe.xmp\0")) yield { kind: "xmp", from: at, to, body };
    at = to;
  }
}

function* webpBlocks(bytes) {
  const data = view(bytes);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const kind = { EXIF: "exif", "XMP ": "xmp" }[latin(bytes.subarray(at, at + 4))];
    const length = data.getUint32(at + 4, true);
    const to = at + 8 + length + (length & 1);
    if (kind) yield { kind, from: at, to, body: bytes.subarray(at + 8, at + 8 + length) };
    at = to;
  }
}
