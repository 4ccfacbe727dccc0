// Elements are made of text and attributes only: nothing here ever reads HTML.

export const h = (tag, given = {}, ...inside) => {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else if (name === "class") one.className = value;
    else if (name === "data") Object.assign(one.dataset, value);
    else if (name in { value: 1, checked: 1, disabled: 1, hidden: 1, indeterminate: 1, srcObject: 1, muted: 1, playsInline: 1 }) one[name] = value;
    else one.setAttribute(name, value === true ? "" : value);
  }
  one.append(...inside.flat(Infinity).filter((part) => part !== null && part !== undefined && part !== false));
  return one;
};

const SHAPES = {
  plus: "M12 5v14M5 12h14",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z",
  files: "M12 15V4m0 0 4 4m-4-4L8 8M5 14v5h14v-5",
  folder: "M3 7h6l2 2h10v10H3z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  back: "M14 6l-6 6 6 6",
  undo: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  check: "M5 12.5l4.5 4.5L19 7",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  close: "M6 6l12 12M18 6 6 18",
  pencil: "M4 20l1-4L16 5l3 3L8 19z",
  download: "M12 4v11m0 0 4-4m-4 4-4-4M5 19h14",
};

export const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  if (name === "more") svg.setAttribute("stroke-width", "3.5");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
};

// Put new content in place of old: what had the focus, was open or was typed stays so, by its data-key.
export const swap = (place, ...fresh) => {
  const active = document.activeElement;
  const key = place.contains(active) ? active.dataset.key : undefined;
  const open = new Set([...place.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  const typed = new Map([...place.querySelectorAll("input[data-key],select[data-key]")].map((one) => [one.dataset.key, one]));
  const strips = new Map([...place.querySelectorAll("[data-scroll]")].map((one) => [one.dataset.scroll, one.scrollTop]));
  place.replaceChildren(...fresh.flat(Infinity).filter(Boolean));
  for (const one of place.querySelectorAll("details[data-key]")) if (open.has(one.dataset.key)) one.open = true;
  for (const one of place.querySelectorAll("input[data-key],select[data-key]")) {
    const old = typed.get(one.dataset.key);
    if (old && one.type === "checkbox") one.checked = old.checked;
    else if (old && one.type !== "file" && (one.tagName === "INPUT" || [...one.options].some((o) => o.value === old.value))) one.value = old.value;
  }
  for (const one of place.querySelectorAll("[data-scroll]")) one.scrollTop = strips.get(one.dataset.scroll) || 0;
  if (key) {
    const again = [...place.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    if (again) again.focus({ preventScroll: true });
  }
};
