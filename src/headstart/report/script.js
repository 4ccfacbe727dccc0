"use strict";
(() => {
  const found = document.getElementById("facts");
  const data = found ? JSON.parse(found.textContent) : { classes: [], pics: [] };
  const per = (p) => (p > 995 ? ">\u00a099" : p < 5 ? "<\u00a01" : Math.round(p / 10)) + "\u00a0%";

  // Text only ever goes in as text: nothing here writes HTML.
  const make = (tag, kind, said) => {
    const one = document.createElement(tag);
    if (kind) one.className = kind;
    if (said !== undefined) one.textContent = said;
    return one;
  };
  const answer = (pic) => {
    const right = pic.a[0][0] === pic.t;
    const one = make("span", "answer " + (right ? "good" : "bad"));
    one.append((right ? "\u2713 " : "\u2717 ") + data.classes[pic.a[0][0]] + " " + per(pic.a[0][1]));
    return one;
  };
  const thumb = (at, size) => {
    const pic = data.pics[at];
    const one = make("button", "pic t" + pic.i + " " + (size || ""));
    one.type = "button";
    one.dataset.pic = at;
    one.setAttribute("aria-label", (data.classes[pic.t] || "") + ": " + pic.f);
    return one;
  };

  // The card of one picture.
  const card = document.getElementById("card");
  const list = (head, rows) => {
    const part = make("div");
    part.append(make("p", "small", head));
    const lines = make("ol", "guesses");
    for (const [said, p, kind] of rows) {
      const line = make("li");
      line.append(make("span", kind, said), make("span", "", per(p)));
      lines.append(line);
    }
    part.append(lines);
    return part;
  };
  const open = (at) => {
    const pic = data.pics[at];
    const body = card.querySelector(".body");
    body.replaceChildren();
    const sides = make("div", "sides");
    const left = make("div");
    const shown = make("span", pic.i < 0 ? "pic none big" : "pic big t" + pic.i, pic.i < 0 ? "not embedded" : undefined);
    shown.setAttribute("role", "img");
    shown.setAttribute("aria-label", pic.f);
    left.append(shown);
    const right = make("div");
    right.append(make("p", "small", "In your data"), make("p", "", (data.classes[pic.t] || "left out") + (pic.k ? " (" + pic.k + ")" : "")));
    if (pic.a) {
      right.append(list("The model says", pic.a.map(([c, p], n) => [
        (n ? "" : c === pic.t ? "\u2713 " : "\u2717 ") + data.classes[c], p, n ? "" : "answer " + (c === pic.t ? "good" : "bad"),
      ])));
    }
    if (pic.g && pic.g.length) right.append(list("The source network said", pic.g));
    if (pic.n) {
      const strip = make("div", "strip");
      for (const other of pic.n) if (data.pics[other].i >= 0) strip.append(thumb(other, "little"));
      if (strip.childElementCount) right.append(make("p", "small", "Nearest training pictures"), strip);
    }
    sides.append(left, right);
    body.append(make("h2", "", pic.f.split("/").pop()), make("p", "small", pic.f), sides);
    if (!card.open) card.showModal();
    card.scrollTop = 0;
  };

  // The pictures behind a cell of the confusion matrix.
  const panel = document.getElementById("cell");
  const MOST = 60;
  const cell = (truth, said, n) => {
    const rows = [];
    data.pics.forEach((pic, at) => { if (pic.a && pic.t === truth && pic.a[0][0] === said) rows.push(at); });
    panel.replaceChildren(make("h3", "", data.classes[truth] + " called " + data.classes[said] + ": " + n));
    const strip = make("div", "strip");
    const rest = make("ul", "small");
    for (const at of rows.slice(0, MOST)) {
      if (data.pics[at].i >= 0) strip.append(thumb(at));
      else rest.append(make("li", "", data.pics[at].f));
    }
    panel.append(strip);
    if (rest.childElementCount) {
      const more = make("details");
      more.append(make("summary", "", "Those that are not embedded, by name"), rest);
      if (!strip.childElementCount) more.open = true;
      panel.append(more);
    }
    const shown = Math.min(rows.length, MOST);
    if (shown < n) panel.append(make("p", "small", shown + " of " + n + " are shown."));
    panel.hidden = false;
    panel.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  };

  // Tables that can be sorted.
  const sort = (button) => {
    const head = button.closest("th");
    const body = button.closest("table").tBodies[0];
    const at = Number(button.dataset.sort);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[at].dataset.order;
    const rows = [...body.rows];
    const plain = rows.every((row) => key(row) !== "" && !isNaN(key(row)));
    rows.sort((x, y) => (plain ? key(x) - key(y) : key(x).localeCompare(key(y))) * (down ? -1 : 1));
    body.append(...rows);
  };

  // Light and dark.
  const theme = document.getElementById("theme");
  const dark = () => {
    const asked = document.documentElement.dataset.theme;
    return asked ? asked === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const name = () => { theme.textContent = dark() ? "Light colours" : "Dark colours"; };
  name();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);

  document.addEventListener("click", (event) => {
    const on = event.target.closest("[data-pic],[data-cell],[data-sort],#theme,.close");
    if (!on) { if (event.target === card) card.close(); return; }
    if (on.dataset.pic !== undefined) open(Number(on.dataset.pic));
    else if (on.dataset.cell !== undefined) cell(...on.dataset.cell.split(",").map(Number), Number(on.dataset.n));
    else if (on.dataset.sort !== undefined) sort(on);
    else if (on === theme) { document.documentElement.dataset.theme = dark() ? "light" : "dark"; name(); }
    else card.close();
  });

  // The map: one tab stop, arrows from point to point, Enter or space opens.
  const atlas = document.getElementById("atlas");
  if (atlas) {
    const dots = [...atlas.querySelectorAll(".dot")];
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    atlas.addEventListener("keydown", (event) => {
      const seen = dots.filter((dot) => !dot.classList.contains("away"));
      const now = seen.indexOf(document.activeElement);
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        if (document.activeElement.dataset.pic !== undefined) open(Number(document.activeElement.dataset.pic));
      } else if (step[event.key] && seen.length) {
        event.preventDefault();
        const next = seen[(now + step[event.key] + seen.length) % seen.length];
        for (const dot of dots) dot.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    });
    document.getElementById("map-class").addEventListener("change", (event) => {
      const wanted = event.target.value;
      for (const dot of dots) {
        dot.classList.toggle("away", wanted !== "" && dot.dataset.class !== wanted);
        dot.tabIndex = -1;
      }
      const first = dots.find((dot) => !dot.classList.contains("away"));
      if (first) first.tabIndex = 0;
    });
  }
})();
