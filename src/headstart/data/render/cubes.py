"""Cubes: dice, letter blocks, puzzle cubes, painted and wooden cubes."""

import numpy as np

from headstart.data.render.marks import DIGITS, LETTERS, letter, pips
from headstart.data.render.maths import (
    Floats,
    Vector,
    chance,
    colour,
    hue,
    mix,
    noise,
    pick,
    step,
    tinted,
    wave,
)
from headstart.data.render.patch import Paint, Painter, Patch, box

WOOD = ((0.83, 0.66, 0.44), (0.72, 0.52, 0.32), (0.9, 0.78, 0.58), (0.56, 0.37, 0.22))
STICKERS = (
    (0.93, 0.93, 0.9), (0.95, 0.8, 0.1), (0.75, 0.1, 0.12), (0.9, 0.42, 0.05), (0.08, 0.3, 0.68),
    (0.05, 0.55, 0.25),
)  # fmt: skip


def cube(rng: np.random.Generator) -> list[Patch]:
    """A cube on one of its sides."""
    make = pick(rng, (_die, _die, _block, _block, _puzzle, _puzzle, _bare))
    return make(rng)


def wood(rng: np.random.Generator, rgb: Vector) -> Painter:
    """Grain along u."""
    a, b = rng.random(), rng.random()
    rings = rng.uniform(5, 11)

    def paint(u: Floats, v: Floats) -> Paint:
        warp = noise(u * 0.12 + a, v * 0.4 + b)
        line = wave(v * rings * 0.5 + warp * 7)
        fine = noise(u * 0.35 + b, v * 9 + a)
        light = 0.78 + 0.2 * line + 0.24 * (fine - 0.4)
        return Paint(tinted(rgb, light), 0.15)

    return paint


def _sides(painters: list[Painter], rounding: float, shine: int) -> list[Patch]:
    shapes = box(1, 1, 1, rounding=rounding)
    return [Patch(shape, painter, shine=shine) for shape, painter in zip(shapes, painters, strict=True)]


def _die(rng: np.random.Generator) -> list[Patch]:
    rgb = pick(rng, ((0.93, 0.92, 0.88), (0.9, 0.88, 0.8), colour(rng), colour(rng)))
    bright = sum(rgb) > 1.3
    ink = hue(rng.random(), 0.2, 0.08) if bright else (0.95, 0.95, 0.92)
    radius, gloss = rng.uniform(0.16, 0.22), rng.uniform(0.3, 0.8)
    order = pick(rng, ((1, 6, 2, 5, 3, 4), (3, 4, 1, 6, 2, 5), (5, 2, 4, 3, 6, 1), (6, 1, 3, 4, 5, 2)))

    def face(count: int) -> Painter:
        def paint(u: Floats, v: Floats) -> Paint:
            spots = pips(count, u * 2 - 1, v * 2 - 1, radius)
            light = 0.95 + 0.1 * noise(u * 0.5, v * 0.5)
            return Paint(mix(rgb, ink, spots) * light[..., None], gloss)

        return paint

    return _sides([face(count) for count in order], rng.uniform(0.12, 0.3), 6)


def _block(rng: np.random.Generator) -> list[Patch]:
    """A wooden block with a letter on each side, in a frame."""
    base = wood(rng, pick(rng, WOOD))
    inks = [colour(rng) for _ in range(3)]
    framed, filled = chance(rng, 0.7), chance(rng, 0.35)

    def face(glyph: str, ink: Vector) -> Painter:
        def paint(u: Floats, v: Floats) -> Paint:
            below = base(u, v)
            x, y = u * 2 - 1, v * 2 - 1
            mark = letter(glyph, x / 0.58, y / 0.58)
            far = np.maximum(np.abs(x), np.abs(y))
            inside = step(far, 0.78, 0.76)
            if filled:
                mark = inside * (1 - mark)
            if framed:
                mark = np.maximum(mark, inside * step(far, 0.66, 0.68))
            worn = 0.75 + 0.25 * step(noise(u * 2, v * 2), 0.2, 0.4)
            return Paint(mix(below.rgb, ink, mark * worn), 0.18)

        return paint

    glyphs = LETTERS + DIGITS
    faces = [face(glyphs[int(rng.integers(len(glyphs)))], inks[number // 2]) for number in range(6)]
    return _sides(faces, rng.uniform(0.06, 0.16), 4)


def _puzzle(rng: np.random.Generator) -> list[Patch]:
    """Three by three stickers a side, scrambled or solved."""
    solved, cells = chance(rng, 0.25), pick(rng, (3, 3, 3, 2, 4))
    body = (0.05, 0.05, 0.06) if chance(rng, 0.75) else (0.9, 0.9, 0.9)
    gap = rng.uniform(0.05, 0.09)

    def face(number: int) -> Painter:
        drawn = rng.integers(0, 6, (cells, cells))
        table = np.array(STICKERS, np.float32)[np.full((cells, cells), number) if solved else drawn]

        def paint(u: Floats, v: Floats) -> Paint:
            a, b = u * cells, v * cells
            i = np.clip(a, 0, cells - 0.01).astype(np.int64)
            j = np.clip(b, 0, cells - 0.01).astype(np.int64)
            near = np.maximum(np.abs(a - np.floor(a) - 0.5), np.abs(b - np.floor(b) - 0.5))
            sticker = step(near, 0.5 - gap, 0.5 - gap - 0.03)
            return Paint(mix(body, table[i, j], sticker), 0.25 + 0.4 * sticker)

        return paint

    return _sides([face(number) for number in range(6)], rng.uniform(0.06, 0.14), 6)


def _bare(rng: np.random.Generator) -> list[Patch]:
    """Painted, stone or wooden, with worn edges."""
    rgb = colour(rng)
    grained = wood(rng, pick(rng, WOOD))
    wooden = chance(rng, 0.6)

    def paint(u: Floats, v: Floats) -> Paint:
        if wooden:
            return grained(u, v)
        far = np.maximum(np.abs(u * 2 - 1), np.abs(v * 2 - 1))
        worn = step(far + 0.12 * (noise(u * 3, v * 3) - 0.5), 0.94, 1.0) * 0.4
        light = 0.88 + 0.24 * noise(u * 0.8, v * 0.8)
        return Paint(mix(rgb, (0.85, 0.78, 0.66), worn) * light[..., None], 0.2)

    return _sides([paint] * 6, rng.uniform(0.05, 0.14), 4)
