"""Cards: playing cards and their backs, postcards, business cards, bank cards; alone or a few."""

import numpy as np

from headstart.data.render.marks import DIGITS, LETTERS, letter, suit
from headstart.data.render.maths import (
    Floats,
    Vector,
    chance,
    colour,
    hue,
    mix,
    noise,
    pick,
    sine,
    step,
    tinted,
    wave,
)
from headstart.data.render.patch import Paint, Painter, Patch, Points, moved, plain, turned

SUITS = ("heart", "diamond", "club", "spade")
RANKS = "A23456789JQK"
ROWS = {
    1: ((0.0, 0.0),), 2: ((0.0, 0.7), (0.0, -0.7)), 3: ((0.0, 0.7), (0.0, 0.0), (0.0, -0.7)),
    4: ((-0.5, 0.7), (0.5, 0.7), (-0.5, -0.7), (0.5, -0.7)),
}  # fmt: skip


def card(rng: np.random.Generator) -> list[Patch]:
    """A card, flat or held up; of playing cards sometimes up to four."""
    kind = pick(rng, ("play", "play", "play", "back", "post", "business", "bank"))
    count = int(rng.integers(2, 5)) if kind in ("play", "back") and chance(rng, 0.4) else 1
    up = rng.uniform(0.0, 0.04) if count > 1 or chance(rng, 0.35) else rng.uniform(0.06, 0.2)
    spread, bend = rng.uniform(0.03, 0.09), rng.uniform(-0.12, 0.2)
    back, blank = _back(rng), plain((0.93, 0.92, 0.88))
    face, reverse, wide, high = {
        "play": (_face, back, 0.64, 0.9),
        "back": (_face, back, 0.64, 0.9),
        "post": (_post, blank, 1.0, 0.7),
        "business": (_business, blank, 1.0, 0.58),
        "bank": (_bank, plain((0.75, 0.75, 0.78)), 1.0, 0.63),
    }[kind]
    rounding = 0.02 if kind == "post" else 0.1
    found = []
    for number in range(count):
        sides = [face(rng), reverse] if kind != "back" else [reverse, face(rng)]
        pose = moved(0, high, 0.0).then(turned("z", spread * (number - (count - 1) / 2)))
        pose = pose.then(moved(0, 0, 0.02 * number)).then(turned("x", up))
        for side, painter in zip((1, -1), sides, strict=True):
            one = sheet(painter, wide, high, 0.0 if kind == "bank" else bend, rounding=rounding, side=side)
            found.append(one.after(pose))
    return found


def sheet(painter: Painter, wide: float, high: float, bend: float, *, rounding: float, side: int) -> Patch:
    """One side, 1 or -1, of a thin sheet of these half widths, bent about its long axis, corners rounded."""

    def shape(u: Floats, v: Floats) -> Points:
        x, y = (u * 2 - 1) * np.float32(wide * side), (v * 2 - 1) * np.float32(high)
        return x + 0 * v, y + 0 * u, bend * x * x + 0.3 * bend * y * y + np.float32(0.01 + 0.005 * side)

    def cut(u: Floats, v: Floats) -> object:
        a = np.maximum(np.abs(u * 2 - 1) * np.float32(wide) - np.float32(wide - rounding), 0)
        b = np.maximum(np.abs(v * 2 - 1) * np.float32(high) - np.float32(high - rounding), 0)
        return a * a + b * b <= rounding * rounding

    return Patch(shape, painter, cut=cut, shine=5)


def _paper(rgb: Vector, u: Floats, v: Floats) -> Floats:
    light = 0.97 + 0.05 * (noise(u * 1.5, v * 1.5) - 0.5)
    found: Floats = tinted(rgb, light)
    return found


def _face(rng: np.random.Generator) -> Painter:
    """A playing card's face: indices in two corners, suits or a portrait in between."""
    name, rank = pick(rng, SUITS), pick(rng, RANKS)
    ink = (0.78, 0.06, 0.1) if name in ("heart", "diamond") else (0.05, 0.05, 0.07)
    second, third = colour(rng), colour(rng)
    count = {"A": 1, "2": 2, "3": 3}.get(rank, 4 if rank in DIGITS else 0)
    more = max(0, int(rank) - 4) if rank in DIGITS else 0
    marks = list(ROWS.get(count, ()))
    marks += [(0.0, 0.0), (-0.5, 0.23), (0.5, 0.23), (-0.5, -0.23), (0.5, -0.23)][:more]
    size = 0.5 if rank == "A" else 0.2

    def paint(u: Floats, v: Floats) -> Paint:
        x, y = (u * 2 - 1) * np.float32(0.64), (v * 2 - 1) * np.float32(0.9)
        drawn = np.zeros_like(x)
        for sign in (1, -1):
            a, b = (x * sign + 0.5) / 0.1, (y * sign - 0.72) / 0.12
            drawn = np.maximum(drawn, letter(rank, a, b))
            drawn = np.maximum(drawn, suit(name, a / 0.85, (b + 2.0) / 0.8))
        for px, py in marks:
            flip = 1 if py >= 0 else -1
            drawn = np.maximum(drawn, suit(name, (x - px * 0.55) / size, (y - py * 0.8) * flip / size))
        rgb = mix(_paper((0.96, 0.95, 0.92), u, v), ink, drawn)
        if not marks:
            framed = step(np.maximum(np.abs(x) / 0.38, np.abs(y) / 0.7), 1.0, 0.97)
            a, b = np.where(y < 0, -x, x), np.abs(y)
            coat = mix(second, third, step(wave((a + b) * 4.5), 0.45, 0.55))
            head = step((a * a + (b - 0.42) * (b - 0.42)) * 1.0, 0.021, 0.018)
            robe = step(np.abs(a) - 0.12 - 0.5 * np.maximum(0.36 - b, 0), 0.02, 0.0) * step(b, 0.36, 0.33)
            crown = step(np.abs(a), 0.15, 0.13) * step(b, 0.5, 0.52) * step(b - 0.1 * wave(a * 7), 0.6, 0.57)
            inner = mix((0.97, 0.93, 0.78), (0.9, 0.7, 0.2), crown)
            inner = inner + (coat - inner) * robe[..., None]
            inner = mix(inner, (0.93, 0.76, 0.64), head)
            line = framed * step(np.maximum(np.abs(x) / 0.38, np.abs(y) / 0.7), 0.93, 0.95)
            rgb = rgb + (mix(inner, (0.1, 0.15, 0.4), line) - rgb) * framed[..., None]
        return Paint(rgb, 0.3)

    return paint


def _back(rng: np.random.Generator) -> Painter:
    """A playing card's back: a lattice in a white frame."""
    ink, paper = colour(rng), (0.95, 0.94, 0.92)
    across, thick = rng.uniform(5, 11), rng.uniform(0.25, 0.6)
    turned_by = chance(rng, 0.7)

    def paint(u: Floats, v: Floats) -> Paint:
        x, y = (u * 2 - 1) * np.float32(0.64), (v * 2 - 1) * np.float32(0.9)
        inside = step(np.maximum(np.abs(x) - 0.55, np.abs(y) - 0.81), 0.01, 0.0)
        a, b = (x + y, x - y) if turned_by else (x, y)
        lattice = step(np.maximum(wave(a * across), wave(b * across)), 1 - thick, 1.05 - thick)
        middle = step(x * x + y * y, 0.055, 0.05)
        share = inside * (0.25 + 0.75 * np.maximum(lattice, middle))
        return Paint(mix(_paper(paper, u, v), ink, share), 0.3)

    return paint


def _post(rng: np.random.Generator) -> Painter:
    """A postcard: a landscape in a white frame, or the written side with a stamp."""
    sky, land = hue(rng.uniform(0.5, 0.66), 0.5, 0.9), hue(rng.uniform(0.1, 0.4), 0.6, 0.5)
    sun, far, seed = hue(rng.uniform(0.05, 0.15), 0.6, 0.98), rng.uniform(-0.3, 0.2), rng.random()
    written, stamp = chance(rng, 0.5), colour(rng)

    def scene(u: Floats, v: Floats) -> Paint:
        x, y = u * 2 - 1, v * 2 - 1
        hills = far + 0.5 * (noise(x * 0.1 + seed, x * 0 + seed) - 0.5) + 0.12 * sine(x * 0.7 + seed)
        near = far - 0.35 + 0.4 * (noise(x * 0.2 + seed, x * 0 + 0.5) - 0.5)
        rgb = mix(sky, (0.95, 0.95, 0.98), step(noise(x * 0.15, y * 0.3 + seed), 0.5, 0.8) * 0.8)
        rgb = mix(rgb, sun, step((x - 0.4) * (x - 0.4) + (y - 0.5) * (y - 0.5), 0.05, 0.03))
        rgb = mix(rgb, (0.35, 0.45, 0.55), step(y - hills, 0.02, 0.0))
        rgb = mix(rgb, land, step(y - near, 0.02, 0.0))
        framed = step(np.maximum(np.abs(x) - 0.92, np.abs(y) - 0.89), 0.0, 0.01)
        return Paint(mix(rgb, (0.95, 0.95, 0.93), framed), 0.35)

    def letters(u: Floats, v: Floats) -> Paint:
        x, y = u * 2 - 1, v * 2 - 1
        words = step(noise(x * 1.5 + seed, np.floor(y * 7) * 0.13), 0.4, 0.45)
        line = step(wave(y * 7), 0.6, 0.75) * step(noise(x * 5, y * 5 + seed), 0.42, 0.5) * words
        left = line * step(np.abs(x + 0.5), 0.4, 0.39) * step(np.abs(y), 0.75, 0.74)
        right = (
            step(wave(y * 4.3), 0.85, 0.92)
            * step(np.abs(x - 0.52), 0.38, 0.37)
            * step(y, 0.15, 0.1)
            * step(y, -0.7, -0.65)
        )
        middle = step(np.abs(x - 0.04), 0.012, 0.006) * step(np.abs(y), 0.8, 0.78)
        rgb = mix(
            _paper((0.94, 0.92, 0.86), u, v),
            (0.12, 0.14, 0.35),
            np.maximum(np.maximum(left, right), middle) * 0.85,
        )
        a, b = np.abs(x - 0.77) / 0.14, np.abs(y - 0.6) / 0.26
        rgb = mix(
            rgb, (0.97, 0.97, 0.95), step(np.maximum(a, b), 1.16, 1.14) * step(wave((x + y) * 12), 0.0, 0.2)
        )
        rgb = mix(rgb, stamp, step(np.maximum(a, b), 1.0, 0.97) * (0.6 + 0.4 * noise(x, y)))
        d = (x - 0.6) * (x - 0.6) + (y - 0.55) * (y - 0.55) * 0.5
        rings = step(np.abs(wave(d * 20) - 0.5), 0.16, 0.06) * step(d, 0.075, 0.07)
        return Paint(mix(rgb, (0.1, 0.1, 0.15), rings * 0.6), 0.15)

    return letters if written else scene


def _business(rng: np.random.Generator) -> Painter:
    """A name, lines of small print and a mark."""
    paper = (
        hue(rng.random(), rng.uniform(0.0, 0.12), rng.uniform(0.86, 0.97))
        if chance(rng, 0.75)
        else colour(rng)
    )
    ink = (0.1, 0.1, 0.14) if sum(paper) > 1.6 else (0.95, 0.94, 0.9)
    second, side = colour(rng), pick(rng, (-1, 1))
    name = [LETTERS[int(rng.integers(len(LETTERS)))] for _ in range(int(rng.integers(5, 9)))]

    def paint(u: Floats, v: Floats) -> Paint:
        x, y = u * 2 - 1, (v * 2 - 1) * np.float32(0.58)
        drawn = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
        for number, glyph in enumerate(name):
            drawn = np.maximum(drawn, letter(glyph, (x + 0.72 - 0.13 * number) / 0.055, (y - 0.18) / 0.075))
        small = step(wave(y * 8.5), 0.55, 0.7) * step(noise(x * 4, np.floor(y * 8.5) * 0.17), 0.36, 0.44)
        small = small * step(np.abs(x + 0.3), 0.5, 0.48) * step(y, -0.02, -0.04) * step(y, -0.46, -0.44)
        rgb = mix(_paper(paper, u, v), ink, np.maximum(drawn, 0.75 * small))
        a, b = x - 0.62 * side * 1.0, y + 0.1
        logo = step(a * a + b * b, 0.045, 0.04) * step(np.abs(a + b), 0.03, 0.05)
        bar = step(np.abs(y - 0.5), 0.08, 0.07) * (side > 0)
        return Paint(mix(rgb, second, np.maximum(logo * (side > 0), bar)), 0.15)

    return paint


def _bank(rng: np.random.Generator) -> Painter:
    """Plastic with a chip, sixteen digits and two rings."""
    low, high = colour(rng), colour(rng)
    digits = [DIGITS[int(rng.integers(10))] for _ in range(16)]
    seed = rng.random()

    def paint(u: Floats, v: Floats) -> Paint:
        x, y = u * 2 - 1, (v * 2 - 1) * np.float32(0.63)
        share = step(u + 0.6 * (noise(u * 0.15 + seed, v * 0.15) - 0.5), 0.2, 0.9)
        rgb = mix(low, high, share)
        a, b = np.abs(x + 0.62) / 0.15, np.abs(y - 0.12) / 0.115
        chip = step(np.maximum(a, b), 1.0, 0.95)
        lines = step(np.abs(np.maximum(a, b) - 0.55), 0.07, 0.03) + step(np.abs(b - 0.2), 0.06, 0.03)
        rgb = mix(rgb, (0.86, 0.7, 0.36), chip * (1 - 0.5 * np.clip(lines, 0, 1)))
        drawn = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
        for number, glyph in enumerate(digits):
            at = -0.76 + 0.087 * number + 0.07 * (number // 4)
            drawn = np.maximum(drawn, letter(glyph, (x - at) / 0.036, (y + 0.16) / 0.06))
        rgb = mix(rgb, (0.95, 0.95, 0.9), drawn)
        for at, ink in ((0.62, (0.85, 0.15, 0.1)), (0.77, (0.95, 0.65, 0.1))):
            rgb = mix(rgb, ink, step((x - at) * (x - at) + (y + 0.42) * (y + 0.42), 0.017, 0.015) * 0.9)
        return Paint(rgb, 0.5)

    return paint
