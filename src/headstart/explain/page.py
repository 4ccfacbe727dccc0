"""An explanation as one page that opens anywhere: pictures inside, no script, nothing fetched."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.errors import OutputExists, UnreadablePicture
from headstart.explain import colour
from headstart.explain.faithful import RANDOM_MAPS, STEPS, Check, Curve
from headstart.explain.heat import OTHERS, Heat
from headstart.explain.layers import MAPS, Layer
from headstart.explain.plots import bar, curves, text
from headstart.explain.study import Explanation
from headstart.explain.style import CSS
from headstart.features.pipeline import read
from headstart.files import digest_bytes, folder_whole
from headstart.modalities.image import decode
from headstart.model.model import Neighbour
from headstart.values import Bytes, Floats

PAGE = "explain.html"
ROWS = 8  # classes in the table of numbers
TILE = 84  # pixels across a channel's map
KERNEL = 36
HARDLY = 0.05  # of probability: a change below which curves tell nothing
QUARTER = STEPS // 4  # steps after which a quarter is gone
_OURS = re.compile(r"explain\.html|picture\.png|kernels\.png|(heat|layer)-\d+\.png")


def save(found: Explanation, out: Path, *, pictures: Sequence[Path] | None = None) -> list[str]:
    """Write the page and its pictures to the folder `out`, whole or not at all; their names, the page first.

    `pictures` are files among which the nearest training pictures are looked for, by their content, to be
    shown. An `out` that holds an earlier page, and nothing else, is replaced.

    Raises:
        OutputExists, OutputError: it cannot be put there.
    """
    if out.is_dir() and (
        others := sorted(one.name for one in out.iterdir() if not _OURS.fullmatch(one.name))
    ):
        raise OutputExists(
            f"the folder {out} holds something else than a page of headstart explain: {others[0]}. "
            "Choose another --out."
        )
    files = _pictures(found)
    with folder_whole(out, replace=True) as folder:
        for name, pixels in files.items():
            (folder / name).write_bytes(colour.png(pixels))
        page = html(found, files, pictures=pictures)
        (folder / PAGE).write_text(page, encoding="utf-8", errors="backslashreplace", newline="\n")
    return [PAGE, *files]


def _pictures(found: Explanation) -> dict[str, Bytes]:
    """Every picture of the page by its file's name."""
    files = {"picture.png": found.heats[0].pixels}
    files |= {f"heat-{at}.png": colour.painted(heat) for at, heat in enumerate(found.heats, 1)}
    if found.kernels is not None:
        files["kernels.png"] = colour.strip(found.kernels.tiles, KERNEL, across=16)
    for at, layer in enumerate(found.layers, 1):
        if layer.maps:
            tiles = [colour.levels(values) for _, values in layer.maps]
            files[f"layer-{at}.png"] = colour.strip(tiles, TILE, across=MAPS)
    return files


def html(found: Explanation, files: dict[str, Bytes], *, pictures: Sequence[Path] | None = None) -> str:
    """The page's text."""
    name = text(Path(found.path).name)
    parts = [
        _answer(found, files),
        _where(found, files),
        _check(found),
        _layers(found, files),
        _numbers(found),
        _near(found, pictures),
        _made(found),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(found.label)}: why, for {name}</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def _answer(found: Explanation, files: dict[str, Bytes]) -> str:
    order = np.argsort(-found.probabilities, kind="stable")[:4]
    rows = "".join(
        f"<tr><th scope=row>{text(found.model.classes[c])}</th>"
        f"<td>{bar(float(found.probabilities[c]))}</td>"
        f"<td class=n>{percent(found.probabilities[c])}</td></tr>"
        for c in order
    )
    limit = found.model.unknown_threshold
    known = (
        f"<p class=bad>▲ <b>Perhaps none of these.</b> The picture is unlike the training pictures: its "
        f"strangeness is {found.unknown_score:.3f}, and the limit is {limit:.3f}.</p>"
        if found.unknown
        else f"<p class=good>✓ <b>Looks familiar.</b> Its strangeness is {found.unknown_score:.3f}; "
        f"beyond {limit:.3f} it would be called unknown.</p>"
    )
    sets = ", ".join(text(one) for one in found.set) or "none"
    side = files["picture.png"].shape[0]
    shown = _image(files["picture.png"], "the picture as the network gets it")
    return (
        f"<header><p class=over>Why this answer?</p><h1>{text(found.label)}, "
        f"{percent(found.probabilities.max())}</h1><p class=file>{text(found.path)}</p></header>\n"
        f"<section class=two><figure>{shown}<figcaption>What the network gets: the central square, "
        f"{side} &times; {side} pixels</figcaption></figure><div>"
        f"<table><caption>The model's answer</caption>{rows}</table>{known}"
        f"<p>Classes that together hold the truth in 95 of 100 cases: <b>{sets}</b>.</p></div></section>\n"
    )


def _where(found: Explanation, files: dict[str, Bytes]) -> str:
    figures = "".join(
        f"<figure>{_image(files[f'heat-{at}.png'], _told(heat))}"
        f"<figcaption>{_caption(heat)}</figcaption></figure>"
        for at, heat in enumerate(found.heats, 1)
    )
    first, warmth = found.heats[0], found.model.temperature
    exact = (
        "which add up to it"
        if first.is_exact
        else f"which add up to it but for {first.unplaced / warmth:+.2f} of {first.logit / warmth:+.2f} "
        "that no place has"
    )
    added = [(name, value / warmth) for name, value in (("at the start", first.constant), *first.depths)]
    most = max(abs(value) for _, value in added) or 1.0
    rows = "".join(
        f"<tr><th scope=row>{text(name)}</th><td>{bar(value / most, signed=True)}</td>"
        f"<td class=n>{value:+.2f}</td></tr>"
        for name, value in added
    )
    return (
        "<section><h2>Where it looked</h2><p><span class=for>Orange</span> speaks for the class, "
        "<span class=against>blue</span> against it; the stronger the colour, the more. The white line "
        "encloses the warmest fifth. Each map is the mean of two: the parts of the number that the answer is "
        f"made from, {exact}; and what showing a place adds to that number while other places are blurred "
        f"at random.</p><div class=figures>{figures}</div>\n"
        f"<table><caption>What each depth of the network adds: {_versus(first)}</caption>{rows}"
        f"<tr class=sum><th scope=row>together</th><td></td>"
        f"<td class=n>{first.logit / warmth:+.2f}</td></tr></table>"
        "<p class=note>Depths are where features are taken from: early stages see edges and colours, late "
        "ones parts and whole things. At the start stands what an average training picture would get.</p>"
        "</section>\n"
    )


def _check(found: Explanation) -> str:
    first, *others = found.checks
    more = "".join(f"<h3>And the map for {text(one.label)}?</h3>{_checked_by_lead(one)}" for one in others)
    return f"<section><h2>Is the map true?</h2>{_checked(first)}{more}</section>\n"


def _checked(check: Check) -> str:
    whole, left = check.curve.deletion[0], check.curve.deletion[QUARTER]
    lines = _lines(check)
    taken = curves([(name, own.deletion) for name, own in lines], "blurred, warmest first", check.label)
    given = curves([(name, own.insertion) for name, own in lines], "shown, warmest first", check.label)
    return (
        f"<p>Blur the warmest quarter of the picture, and the model's {text(check.label)} goes from "
        f"{percent(whole)} to <b>{percent(left)}</b>. Blur a random quarter, and it goes to "
        f"{percent(check.random.deletion[QUARTER])}.</p>"
        f"{_verdict(check)}<div class=figures><figure>{taken}<figcaption>Taking away. A good map's line "
        f"falls early.</figcaption></figure><figure>{given}<figcaption>Giving back to the blurred picture. A "
        "good map's line rises early.</figcaption></figure></div>"
        f"{_areas(check)}"
    )


def _checked_by_lead(check: Check) -> str:
    """The logit in place of the probability, which may be nearly nothing whatever is blurred."""
    left, chance = check.curve.deletion[QUARTER], check.random.deletion[QUARTER]
    return (
        f"<p>Its logit is {check.curve.deletion[0]:+.2f} above the average of the others, divided by the "
        f"temperature. Blur the warmest quarter, and that goes to <b>{left:+.2f}</b>; a random quarter, and "
        f"it goes to {chance:+.2f}.</p>{_verdict(check)}{_areas(check)}"
    )


def _lines(check: Check) -> tuple[tuple[str, Curve], ...]:
    return (("this map", check.curve), ("random maps", check.random), ("only the middle", check.centre))


def _areas(check: Check) -> str:
    rows = "".join(
        f"<tr><th scope=row>{name}</th><td class=n>{own.deleted:.3f}</td>"
        f"<td class=n>{own.inserted:.3f}</td></tr>"
        for name, own in _lines(check)
    )
    return (
        f"<table><caption>Area under the line{' of that number' if check.is_lead else ''}</caption>"
        "<tr><td></td><th scope=col>taken away (small is good)</th>"
        f"<th scope=col>given (large is good)</th></tr>{rows}</table>"
    )


def _verdict(check: Check) -> str:
    """Whether a map is true, as far as one picture can tell."""
    said = np.concatenate([check.curve.deletion, check.curve.insertion, check.random.deletion])
    if not check.is_lead and np.ptp(said) < HARDLY:
        return (
            f"<p class=bad>▲ Whatever is blurred, the model's {text(check.label)} changes by less than "
            f"{percent(HARDLY)}: on this picture nothing can tell whether the map is true.</p>"
        )
    if check.beaten < RANDOM_MAPS:
        return (
            f"<p class=bad>▲ On this picture the map beats {check.beaten} of {RANDOM_MAPS} random maps both "
            "ways: do not lean on it.</p>"
        )
    middle = ""
    if check.centre.deleted <= check.curve.deleted and check.centre.inserted >= check.curve.inserted:
        middle = " Blurring the middle does no worse, though: the map may show no more than where a thing is."
    return (
        f"<p class=good>✓ On this picture the map beats all {RANDOM_MAPS} random maps both ways, which one "
        f"that knows nothing would do on one picture of ten at most.{middle}</p>"
    )


def _layers(found: Explanation, files: dict[str, Bytes]) -> str:
    parts = ["<section><h2>Layer by layer</h2>"]
    side = files["picture.png"].shape[0]
    if found.kernels is not None:
        count, _, height, width = found.kernels.shape
        shown = len(found.kernels.tiles)
        more = f", the first {shown} of them" if shown < count else ""
        parts.append(
            f"<h3>The first kernels</h3><figure>"
            f"{_image(files['kernels.png'], f'{shown} small patches: edges, dots, colours')}"
            f"<figcaption>{count} kernels of {height} &times; {width} pixels in three colours{more}. "
            "Each slides over the picture and answers most where the picture looks like it. Grey is zero."
            "</figcaption></figure>"
        )
    parts.append(
        "<h3>What they and the later layers give</h3><p>One picture for each of the channels that vary most; "
        "bright is where it answers. Maps shrink and channels grow: from edges to parts.</p>"
    )
    added = {name: value / found.model.temperature for name, value in found.heats[0].depths}
    for at, layer in enumerate(found.layers, 1):
        part = f"; adds {added[layer.name]:+.2f}" if layer.name in added else ""
        what = f"<h4>{text(layer.name)}: {_shape(layer, side)}</h4>"
        told = f"{layer.parameters:,} parameters{part}"
        if layer.maps:
            alt = f"{len(layer.maps)} channels of {layer.name}, bright where they answer"
            parts.append(f"{what}<figure>{_image(files[f'layer-{at}.png'], alt)}")
            parts.append(f"<figcaption>{told}</figcaption></figure>")
        else:
            parts.append(f"{what}<p class=note>{told}</p>")
    head = sum(array.size for array in found.model.head.arrays().values())
    parts.append(
        f"<h4>head ({text(found.model.head.name)}): {len(found.model.classes)} logits</h4>"
        f"<p class=note>{head:,} parameters: all that was learnt from your pictures, unless stages were "
        "trained further.</p></section>\n"
    )
    return "".join(parts)


def _numbers(found: Explanation) -> str:
    temperature, logits = found.model.temperature, found.logits.astype(np.float64)
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max())
    order = np.argsort(-logits, kind="stable")
    rows = "".join(
        f"<tr><th scope=row>{text(found.model.classes[c])}</th><td class=n>{logits[c]:.3f}</td>"
        f"<td class=n>{scaled[c]:.3f}</td><td class=n>{short(float(powers[c]))}</td>"
        f"<td class=n>{percent(found.probabilities[c])}</td></tr>"
        for c in order[:ROWS]
    )
    if len(order) > ROWS:
        rest = order[ROWS:]
        rows += (
            f"<tr><th scope=row>{len(rest)} others</th><td></td><td></td>"
            f"<td class=n>{short(float(powers[rest].sum()))}</td>"
            f"<td class=n>{percent(found.probabilities[rest].sum())}</td></tr>"
        )
    top = found.model.classes[order[0]]
    return (
        "<section><h2>From numbers to probabilities</h2><p>The head gives each class a number, its logit. "
        f"Divided by the temperature ({temperature:.3f}, found on training pictures that the head had not "
        "seen) it says as much as it may. Powers of e make all numbers positive, and their "
        "share of the sum is the probability.</p><div class=scroll><table><tr><td></td>"
        "<th scope=col>logit</th>"
        f"<th scope=col>÷ {temperature:.3f}</th>"
        f"<th scope=col>e<sup>that &minus; {scaled.max():.3f}</sup></th>"
        f"<th scope=col>probability</th></tr>{rows}<tr class=sum><th scope=row>sum</th><td></td><td></td>"
        f"<td class=n>{powers.sum():.6g}</td><td class=n>100 %</td></tr></table></div>"
        f"<p class=note>{text(top)}: {logits[order[0]]:.3f} ÷ {temperature:.3f} = {scaled[order[0]]:.3f}; "
        f"e<sup>0</sup> = 1; 1 ÷ {powers.sum():.6g} = {1 / powers.sum():.4f}. The largest is taken off every "
        "exponent first, which changes no share and keeps the powers small.</p></section>\n"
    )


def _near(found: Explanation, pictures: Sequence[Path] | None) -> str:
    there = {} if pictures is None else _looked_up(found, pictures)
    absent = "" if pictures is None else "<p class=absent>not found there</p>"
    cards = "".join(
        f"<figure>{_thumb(one, there[one.path], found) if one.path in there else absent}"
        f"<figcaption><b>{text(one.label)}</b>, distance "
        f"{one.distance:.3f}<br><span class=file>{text(one.path)}</span></figcaption></figure>"
        for one in found.near
    )
    hint = (
        "<p class=note>With --data DATA, the training data, the pictures are shown.</p>"
        if pictures is None
        else ""
    )
    return (
        "<section><h2>The nearest training pictures</h2><p>The distance is one less the cosine between the "
        f"last layer's features: 0 is the same direction.</p><div class=near>{cards}</div>{hint}</section>\n"
    )


def _looked_up(found: Explanation, pictures: Sequence[Path]) -> dict[str, bytes]:
    """Content of the nearest training pictures by their path in split.csv, wherever they lie now.

    Files of the same name are looked into first: all are read only where one is missing or renamed.
    """
    near = {one.path for one in found.near}
    wanted: dict[str, list[str]] = {}
    for part in found.model.manifest:
        if part.path in near:
            wanted.setdefault(part.digest, []).append(part.path)
    names = {Path(path).name for path in near}
    there: dict[str, bytes] = {}
    for file in sorted(pictures, key=lambda one: one.name not in names):
        if near <= there.keys():
            break
        try:
            content = read(file)
        except UnreadablePicture:
            continue
        there |= dict.fromkeys(wanted.get(digest_bytes(content), ()), content)
    return there


def _thumb(one: Neighbour, content: bytes, found: Explanation) -> str:
    try:
        pixels = decode(content, found.model.backbone.preprocess).pixels
    except UnreadablePicture:
        return "<p class=absent>cannot be read</p>"
    small = np.asarray(Image.fromarray(pixels).resize((144, 144), Image.Resampling.LANCZOS))
    return _image(small, f"training picture of class {one.label}")


def _made(found: Explanation) -> str:
    model = found.model
    gap = abs(found.heats[0].logit - _value(found))
    return (
        "<footer><h2>How this was made</h2><p>"
        f"Backbone {text(model.backbone.name)}, head {text(model.head.name)}, headstart "
        f"{text(str(model.report['version']))}. Heat maps are computed in float32; the answer comes from the "
        f"engine that predicts, and the two differ by {gap:.3f} in the logit here. Taken-away pixels are "
        "blurred. "
        "A heat map shows what this model used. It does not say that the model is right to."
        "</p></footer>\n"
    )


def _value(found: Explanation) -> float:
    """What the first heat explains, by the engine's logits."""
    heat, names = found.heats[0], found.model.classes
    logits = found.logits.astype(np.float64)
    own = float(logits[names.index(heat.label)])
    if heat.against != OTHERS:
        return own - float(logits[names.index(heat.against)])
    return own - (float(logits.sum()) - own) / (len(names) - 1)


def _caption(heat: Heat) -> str:
    if heat.against == OTHERS:
        return f"<b>{text(heat.label)}</b> against the average of all other classes"
    return f"<b>{text(heat.label)}</b> (orange) against <b>{text(heat.against)}</b> (blue)"


def _versus(heat: Heat) -> str:
    """What the number is, in words; escaped."""
    other = "the average of the others" if heat.against == OTHERS else f"that of {text(heat.against)}"
    return f"the logit of {text(heat.label)} less {other}, divided by the temperature"


def _told(heat: Heat) -> str:
    """Where the warmth is, for those who cannot see it."""
    return f"heat map for {heat.label}: warmest {place(heat.map)}"


def place(heat: Floats) -> str:
    """Where the middle of the warmest fifth lies, in words.

    >>> place(np.tile(np.linspace(1, 0, 10, dtype=np.float32), (10, 1)))
    'at the left'
    """
    down, right = np.nonzero(heat >= np.quantile(heat, 1 - colour.WARM))
    row = ("top", "", "bottom")[min(int(3 * (down.mean() + 0.5) / heat.shape[0]), 2)]
    column = ("left", "", "right")[min(int(3 * (right.mean() + 0.5) / heat.shape[1]), 2)]
    return f"at the {' '.join(one for one in (row, column) if one)}" if row or column else "in the middle"


def _shape(layer: Layer, side: int) -> str:
    if len(layer.shape) == 1:
        return f"{layer.shape[0]} numbers, the features"
    channels, height, width = layer.shape
    return f"{channels} channels of {height} &times; {width}, each cell {side / width:.3g} pixels wide"


def _image(pixels: Bytes, alt: str) -> str:
    """A picture in the page; what was drawn stays sharp, photographs become JPEG where that is smaller."""
    data, kind = min(
        ((colour.png(pixels), "png"), (colour.jpeg(pixels), "jpeg")), key=lambda one: len(one[0])
    )
    height, width = pixels.shape[:2]
    return (
        f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" width="{width}" '
        f'height="{height}" alt="{text(alt)}">'
    )


def percent(share: float) -> str:
    """A probability for reading, never rounded to certainty.

    >>> percent(0.5), percent(0.99996), percent(0.0001)
    ('50.0 %', 'over 99.9 %', 'under 0.1 %')
    """
    if share > 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"


def short(value: float) -> str:
    """A positive number up to one in a few digits.

    >>> short(1.0), short(0.0421), short(3e-9)
    ('1', '0.0421', '3.0e-09')
    """
    return f"{value:.1e}" if 0 < value < 1e-3 else f"{value:.3g}"
