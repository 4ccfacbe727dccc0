// All that the page says, and how it says it: texts, toasts, dialogs.
import { h, icon } from "./dom.js";

let texts = {};
let plural = new Intl.PluralRules("en");

export const loadTexts = async () => {
  const asked = await fetch("/assets/texts.en.json");
  const found = await asked.json();
  texts = found.page;
  plural = new Intl.PluralRules(texts.language);
  document.documentElement.lang = texts.language;
};

// A text by its key; {name} is filled in, and a text in forms is chosen by {n}.
export const t = (key, values = {}) => {
  let found = texts[key];
  if (found === undefined) throw new Error(`no text ${key}`);
  if (typeof found === "object") found = found[plural.select(values.n)] ?? found.other;
  return found.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === "number" ? value.toLocaleString(document.documentElement.lang) : String(value);
  });
};

const SPACE = "\u00a0";
// A probability as whole per cents, which never says that it is certain.
export const sure = (p) => (p > 0.995 ? `>${SPACE}99${SPACE}%` : p < 0.005 ? `<${SPACE}1${SPACE}%` : `${Math.round(100 * p)}${SPACE}%`);
export const percent = (p) => `${(Math.round(1000 * p) / 10).toLocaleString(document.documentElement.lang)}${SPACE}%`;
export const bytes = (n) => (n < 1e6 ? `${Math.max(n ? 1 : 0, Math.round(n / 1e3))}${SPACE}kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)}${SPACE}MB` : `${(n / 1e9).toFixed(1)}${SPACE}GB`);
export const ago = (at) => {
  const s = Math.max(0, Date.now() / 1000 - at);
  if (s < 60) return t("ago.now");
  if (s < 3600) return t("ago.minutes", { n: Math.round(s / 60) });
  if (s < 86400) return t("ago.hours", { n: Math.round(s / 3600) });
  return t("ago.days", { n: Math.round(s / 86400) });
};

const place = () => document.getElementById("toasts");

// A word in the corner: {kind: good|bad|plain, action: [name, function], stays}. Returns how to change and end it.
export const toast = (said, { kind = "plain", action, stays = false } = {}) => {
  const words = h("span", {}, said);
  const bar = h("div", { class: "toast-bar", hidden: true }, h("i"));
  const one = h("div", { class: `toast is-${kind}` }, h("div", { class: "toast-row" }, words,
    action && h("button", { type: "button", class: "link", onclick: () => { end(); action[1](); } }, action[0]),
    h("button", { type: "button", class: "round", "aria-label": t("close"), onclick: () => end() }, icon("close"))), bar);
  let timer;
  const end = () => { clearTimeout(timer); one.remove(); };
  const wait = () => { clearTimeout(timer); if (!stays) timer = setTimeout(end, action || kind === "bad" ? 12000 : 6000); };
  one.addEventListener("mouseenter", () => clearTimeout(timer));
  one.addEventListener("mouseleave", wait);
  one.addEventListener("focusin", () => clearTimeout(timer));
  one.addEventListener("focusout", wait);
  place().append(one);
  while (place().children.length > 4) place().firstElementChild.remove();
  wait();
  const say = (text, share) => {
    words.textContent = text;
    if (share !== undefined) { bar.hidden = false; bar.firstElementChild.style.setProperty("width", `${100 * share}%`); }
  };
  return { say, end };
};

export const complain = (error) => {
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) console.error(error); // of the page itself
  return toast(error.message || String(error), { kind: "bad" });
};

// A window over the page. `build(close)` gives its content; resolves with what close was given.
export const dialog = (title, build, { wide = false } = {}) => new Promise((resolve) => {
  const before = document.activeElement;
  const own = h("dialog", { class: wide ? "studio wide" : "studio", "aria-label": title });
  let result;
  const close = (value) => { result = value; own.close(); };
  own.append(
    h("div", { class: "dialog-head" }, h("h2", {}, title),
      h("button", { type: "button", class: "round", "aria-label": t("close"), onclick: () => close() }, icon("close"))),
    build(close, own),
  );
  own.addEventListener("click", (event) => { if (event.target === own) close(); });
  own.addEventListener("close", () => {
    own.remove();
    if (before && before.isConnected) before.focus();
    resolve(result);
  });
  document.body.append(own);
  own.showModal();
  const first = own.querySelector("[autofocus]");
  if (first) first.focus();
});

export const confirm = (title, said, yes) => dialog(title, (close) => h("div", {},
  h("p", {}, said),
  h("div", { class: "buttons end" },
    h("button", { type: "button", class: "plain", autofocus: true, onclick: () => close(false) }, t("cancel")),
    h("button", { type: "button", class: "danger", onclick: () => close(true) }, yes))));

// Ask for a name; resolves with it, or with undefined.
export const askName = (title, { label, value = "", yes, hint } = {}) => dialog(title, (close) => {
  const input = h("input", { type: "text", value, maxlength: 100, autofocus: true, autocomplete: "off", spellcheck: "false" });
  setTimeout(() => input.select());
  return h("form", { onsubmit: (event) => { event.preventDefault(); if (input.value.trim()) close(input.value.trim()); } },
    h("label", { class: "field" }, h("span", {}, label), input),
    hint && h("p", { class: "small" }, hint),
    h("div", { class: "buttons end" },
      h("button", { type: "button", class: "plain", onclick: () => close() }, t("cancel")),
      h("button", { type: "submit", class: "primary" }, yes)));
});

// A small menu below a button: rows of [name, function] or null for a line.
export const menu = (button, rows) => {
  const old = document.querySelector(".menu");
  if (old) { old.remove(); if (old.owner === button) return; }
  const items = rows.filter(Boolean).map(([name, go, kind]) => h("button", {
    type: "button", role: "menuitem", class: kind || "", onclick: () => { end(); go(); } }, name));
  const own = h("div", { class: "menu", role: "menu" }, items);
  own.owner = button;
  const end = () => {
    own.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", away, true);
    if (button.isConnected) button.focus();
  };
  const away = (event) => { if (!own.contains(event.target) && event.target !== button && !button.contains(event.target)) { end(); } };
  own.addEventListener("keydown", (event) => {
    const now = items.indexOf(document.activeElement);
    if (event.key === "Escape" || event.key === "Tab") { event.preventDefault(); end(); }
    if (event.key === "ArrowDown") { event.preventDefault(); items[(now + 1) % items.length].focus(); }
    if (event.key === "ArrowUp") { event.preventDefault(); items[(now - 1 + items.length) % items.length].focus(); }
  });
  document.addEventListener("pointerdown", away, true);
  document.body.append(own);
  const at = button.getBoundingClientRect();
  own.style.setProperty("top", `${window.scrollY + at.bottom + 4}px`);
  own.style.setProperty("left", `${Math.max(8, Math.min(window.scrollX + at.right - own.offsetWidth, window.innerWidth - own.offsetWidth - 8))}px`);
  button.setAttribute("aria-expanded", "true");
  items[0].focus();
};
