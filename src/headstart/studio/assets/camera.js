// Pictures from the camera: hold to record, one tap is one picture.
import { h, icon } from "./dom.js";
import { dialog, t } from "./talk.js";

const EVERY_MS = 250;
const SIDE = 640; // of the short side
const QUALITY = 0.92;
const WHY = { NotAllowedError: "camera.denied", NotFoundError: "camera.none", OverconstrainedError: "camera.none" };

export const open = async () => {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(t("camera.insecure"));
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false });
  } catch (error) {
    throw new Error(t(WHY[error.name] || "camera.busy"));
  }
};

export const close = (stream) => { for (const track of stream.getTracks()) track.stop(); };

// What the camera sees now, as a JPEG whose short side is SIDE at most.
export const shot = (video, side = SIDE) => new Promise((resolve) => {
  const scale = Math.min(1, side / Math.min(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(resolve, "image/jpeg", QUALITY);
});

// The window for recording into one class. `keep(blob, name)` takes each picture, and resolves when it is safe.
export const record = async (name, keep) => {
  const stream = await open();
  const started = Date.now();
  let shots = 0;
  let safe = 0;
  let under = 0; // on their way
  let timer = null;
  await dialog(t("camera.title", { name }), (_close, own) => {
    const video = h("video", { class: "view", muted: true, playsInline: true, autoplay: true, "aria-label": t("camera.view") });
    video.srcObject = stream;
    const count = h("p", { class: "count", role: "status" });
    const trouble = h("p", { class: "note bad", role: "alert", hidden: true });
    const strip = h("div", { class: "strip film" });
    // only what is safe counts; what takes longer than a second is told of
    const tell = () => { count.textContent = t("camera.taken", { n: safe }) + (under * EVERY_MS > 1000 ? ` · ${t("camera.waiting", { n: under })}` : ""); };
    tell();
    const take = async () => {
      if (!video.videoWidth) return;
      shots += 1;
      const number = shots;
      const blob = await shot(video);
      if (!blob) return;
      const small = h("img", { class: "pic little", alt: "" });
      small.src = URL.createObjectURL(blob);
      small.addEventListener("load", () => URL.revokeObjectURL(small.src));
      strip.prepend(small);
      while (strip.children.length > 8) strip.lastElementChild.remove();
      under += 1;
      tell();
      try {
        await keep(blob, `camera-${started.toString(36)}-${String(number).padStart(4, "0")}.jpg`);
        safe += 1;
      } catch (error) {
        trouble.hidden = false;
        trouble.textContent = error.message;
      }
      under -= 1;
      tell();
    };
    const begin = (event) => {
      if (event.type === "keydown" && event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (timer !== null) return;
      if (event.pointerId !== undefined) button.setPointerCapture(event.pointerId);
      button.classList.add("on");
      take();
      timer = setInterval(take, EVERY_MS);
    };
    const end = () => { clearInterval(timer); timer = null; button.classList.remove("on"); };
    const button = h("button", { type: "button", class: "primary shutter", autofocus: true, onpointerdown: begin, onkeydown: begin }, icon("camera"), t("camera.hold"));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    for (const what of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) button.addEventListener(what, end);
    own.addEventListener("close", end);
    return h("div", {}, h("div", { class: "frame" }, video), count, trouble, h("p", { class: "small" }, t("camera.hint")), h("div", { class: "buttons" }, button), strip);
  });
  close(stream);
};
