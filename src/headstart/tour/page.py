"""The page: chapters one after the other in one file that loads nothing from elsewhere."""

from collections.abc import Sequence

from headstart.tour import draw
from headstart.tour.section import Section

STYLE = """
:root { --ink: #1c2127; --soft: #57606a; --paper: #fdfdfb; --panel: #f1f3f0; --line: #c9cfd4;
  --accent: #0b5f8a; --good: #14683f; --bad: #b3261e; --mark: #ffe08a;
  --s0: #0b5f8a; --s1: #b3511e; --s2: #14683f; --s3: #7a3d91; --s4: #6b5d00; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #a3adb6; --paper: #15191d;
  --panel: #20262c; --line: #46505a; --accent: #7cc4ee; --good: #79d3a0; --bad: #ff9d94; --mark: #6a5200;
  --s0: #7cc4ee; --s1: #ffab78; --s2: #79d3a0; --s3: #d6a3ea; --s4: #dccb5a; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 4rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.06rem/1.6 system-ui, sans-serif; }
header, section, footer { max-width: 60rem; margin: 0 auto; padding: 0 1.2rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.5rem; line-height: 1.25; margin: 3.2rem 0 .8rem; }
h2 .number { color: var(--accent); margin-right: .5rem; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: .85rem; margin: 0 0 .3rem; color: var(--soft); font-weight: 600; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 1rem; z-index: 2; }
nav { position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--line); }
nav ol { max-width: 60rem; margin: 0 auto; padding: .5rem 1.2rem; display: flex; gap: .4rem; list-style: none;
  overflow-x: auto; }
nav a { display: block; padding: .25rem .7rem; border-radius: 1rem; text-decoration: none; white-space: nowrap;
  font-size: .9rem; }
nav a[aria-current] { background: var(--accent); color: var(--paper); }
.look { border-left: 5px solid var(--accent); background: var(--panel); padding: .7rem 1rem; margin: 0 0 1rem; }
.note { color: var(--soft); font-size: .95rem; }
.quick { border: 2px solid var(--bad); padding: .4rem .8rem; display: inline-block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; margin: .6rem 0; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tbody th { font-weight: 400; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2rem; }
.plots p { margin: .2rem 0 0; font-size: .95rem; }
svg.plot { width: 100%; max-width: 34rem; height: auto; display: block; font-size: 13px; fill: var(--ink); }
.plot .grid { stroke: var(--line); fill: none; } .plot .axis { stroke: var(--ink); fill: none; }
.legend { list-style: none; padding: 0; margin: .2rem 0; display: flex; flex-wrap: wrap; gap: 0 1.2rem;
  font-size: .92rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; max-width: 13.5rem; } figcaption { font-size: .9rem; line-height: 1.35; }
figure img { margin-right: .4rem; vertical-align: top; border: 1px solid var(--line); }
img { max-width: 100%; } img.cells { image-rendering: pixelated; }
.stage { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; margin: .4rem 0; }
.stage p { width: 12rem; margin: 0; font-size: .95rem; } .stage img { margin-right: .4rem; }
pre { background: var(--panel); padding: .8rem 1rem; overflow-x: auto; font-size: .9rem; line-height: 1.45; }
code { font-family: ui-monospace, monospace; }
details summary { cursor: pointer; color: var(--accent); font-weight: 600; margin-top: 1rem; }
.row { align-items: flex-start; }
.stepper { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; }
.controls { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: 0 0 .8rem; }
button, select { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--line);
  border-radius: .3rem; padding: .3rem .8rem; max-width: 100%; cursor: pointer; }
.tables { display: flex; flex-wrap: wrap; gap: 1.2rem; align-items: flex-start; }
table.grid { margin: 0; font-size: 1rem; } table.grid td { border: 1px solid var(--line); width: 2.5rem;
  height: 2.3rem; padding: 0; text-align: center; vertical-align: middle; }
table.grid td.pad { color: var(--soft); background: var(--panel); font-style: italic; }
table.grid td.on { background: var(--mark); outline: 2px solid var(--accent); outline-offset: -2px; }
table.grid td.todo { color: transparent; }
.sum { min-height: 3.3rem; margin: .8rem 0 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
@media (max-width: 34rem) { body { font-size: 1rem; } table.grid td { width: 2.05rem; height: 1.95rem;
  font-size: .9rem; } .sum { min-height: 5rem; } th, td { padding-right: .6rem; }
  .row { gap: .8rem .5rem; } figure { max-width: 10rem; } figure img:first-child { width: 6.4rem;
  height: 6.4rem; } figure img + img { width: 2.2rem; height: 2.2rem; } }
@media print { :root { color-scheme: light; } nav, .controls, .skip { display: none; }
  section { max-width: none; } h2, h3 { break-after: avoid; }
  svg, figure, tr, pre, .look, .stage, .stepper { break-inside: avoid; }
  table.grid td.todo { color: inherit; } table.grid td.on { outline: none; background: none; } }
"""

SCRIPT = """
'use strict';
const show = number => String(+number.toFixed(4));
document.querySelectorAll('.stepper').forEach(box => {
  const slides = JSON.parse(box.querySelector('script').textContent);
  const [select, count, sum] = ['select', '.count', '.sum'].map(own => box.querySelector(own));
  let slide = slides[0], at = 0;
  const cells = (place, rows) => {
    const table = document.createElement('table');
    table.className = 'grid';
    rows.forEach(row => { const line = table.insertRow();
      row.forEach(value => { line.insertCell().textContent = show(value); }); });
    place.replaceChildren(table);
    return table;
  };
  let input, output;
  const begin = () => {
    const rows = [];
    slide.steps.forEach((step, i) => {
      if (i % slide.columns === 0) rows.push([]);
      rows[rows.length - 1].push(step[2]);
    });
    input = cells(box.querySelector('.in'), slide.input);
    output = cells(box.querySelector('.out'), rows);
    const kernel = box.querySelector('.kernel');
    kernel.parentElement.hidden = !slide.kernel.length;
    cells(kernel, slide.kernel);
    [...input.rows].forEach((row, r) => [...row.cells].forEach((cell, c) => {
      const last = [slide.input.length, slide.input[0].length];
      cell.classList.toggle('pad', [r, c].some((own, i) => own < slide.padding
        || own >= last[i] - slide.padding));
    }));
    at = 0;
    draw();
  };
  const draw = () => {
    const [row, column, value] = slide.steps[at], terms = [];
    [...input.rows].forEach((line, r) => [...line.cells].forEach((cell, c) => {
      const on = r >= row && r < row + slide.side && c >= column && c < column + slide.side;
      cell.classList.toggle('on', on);
      if (on) terms.push(slide.kernel.length
        ? show(slide.input[r][c]) + ' × ' + show(slide.kernel[r - row][c - column])
        : show(slide.input[r][c]));
    }));
    [...output.rows].forEach((line, r) => [...line.cells].forEach((cell, c) => {
      const own = r * slide.columns + c;
      cell.classList.toggle('on', own === at);
      cell.classList.toggle('todo', own > at);
    }));
    count.textContent = 'step ' + (at + 1) + ' of ' + slide.steps.length;
    const told = { sum: terms.join(' + '), max: 'the largest of ' + terms.join(', '),
      mean: '(' + terms.join(' + ') + ') / ' + terms.length }[slide.does];
    const result = document.createElement('b');
    result.textContent = show(value);
    sum.replaceChildren(told + ' = ', result);
  };
  const go = by => { at = Math.min(Math.max(at + by, 0), slide.steps.length - 1); draw(); };
  box.querySelectorAll('[data-go]').forEach(own =>
    own.addEventListener('click', () => go(Number(own.dataset.go))));
  select.addEventListener('change', () => { slide = slides[Number(select.value)]; begin(); });
  box.addEventListener('keydown', event => {
    if (event.target === select) return;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: slide.columns, ArrowUp: -slide.columns,
      Home: -slide.steps.length, End: slide.steps.length }[event.key];
    if (by) { event.preventDefault(); go(by); }
  });
  begin();
});
const links = [...document.querySelectorAll('nav a')];
const parts = links.map(own => document.querySelector(own.getAttribute('href')));
let now = 0;
const mark = () => {
  now = parts.reduce((found, own, i) => own.getBoundingClientRect().top < innerHeight / 3 ? i : found, 0);
  links.forEach((own, i) => { if (i === now) own.setAttribute('aria-current', 'true');
    else own.removeAttribute('aria-current'); });
};
['scroll', 'scrollend', 'hashchange', 'resize'].forEach(own => addEventListener(own, mark, { passive: true }));
mark();
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('select, input')) return;
  const wanted = /^[1-9]$/.test(event.key) ? Number(event.key) - 1
    : event.key === 'n' ? now + 1 : event.key === 'p' ? now - 1 : -1;
  if (parts[wanted]) { location.hash = parts[wanted].id; links[wanted].scrollIntoView({ block: 'nearest', inline: 'center' });
    parts[wanted].scrollIntoView(); }
});
"""


def page(sections: Sequence[Section], *, about: str, quick: bool, made: str) -> str:
    """The whole document. `about` says what pictures it was made of, `made` with what and how long."""
    links = "".join(
        f'<li><a href="#{one.name}">{number}\N{NO-BREAK SPACE}{draw.text(one.name)}</a></li>'
        for number, one in enumerate(sections, 1)
    )
    chapters = "".join(_chapter(number, one) for number, one in enumerate(sections, 1))
    marked = (
        '<p class="quick"><b>Quick tour.</b> The same content with fewer steps of training and fewer judged '
        "pictures: its intervals are wider. <code>headstart tour</code> without <code>--quick</code> takes "
        "longer.</p>"
        if quick
        else ""
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>A tour of transfer learning</title>"
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body>'
        '<a class="skip" href="#convolution">To the first chapter</a>'
        "<header><h1>A tour of transfer learning</h1>"
        "<p>A network that was trained on a million photographs already knows edges, textures, parts and "
        f"shapes. These {len(sections)} chapters show why that helps, and every number in them was computed on "
        f"this machine while the page was made. {draw.text(about)}</p>{marked}"
        f'<p class="note">Keys: <b>1</b> to <b>{len(sections)}</b> go to a chapter, <b>n</b> to the next, '
        "<b>p</b> to the one before.</p></header>"
        f'<nav aria-label="Chapters"><ol>{links}</ol></nav><main>{chapters}</main>'
        f'<footer><p class="note">{draw.text(made)}</p></footer><script>{SCRIPT}</script></body></html>\n'
    )


def _chapter(number: int, one: Section) -> str:
    return (
        f'<section id="{one.name}" aria-labelledby="{one.name}-title">'
        f'<h2 id="{one.name}-title"><span class="number">{number}</span>{draw.text(one.title)}</h2>'
        f'<p class="look"><b>What to look at.</b> {one.look}</p>{one.body}'
        f"<details open><summary>Run it yourself</summary><pre><code>{draw.text_lines(one.code)}</code></pre>"
        "</details></section>"
    )
