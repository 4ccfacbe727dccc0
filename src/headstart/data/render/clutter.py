"""What lies about, grounds and walls: the same for every thing, so that they tell nothing about it."""

import numpy as np

from headstart.data.render.maths import (
    Floats,
    Vector,
    chance,
    colour,
    grain,
    hue,
    mix,
    noise,
    pick,
    step,
    tinted,
    wave,
)
from headstart.data.render.patch import (
    Paint,
    Painter,
    Patch,
    ball,
    lathe,
    moved,
    plain,
    ring,
    scaled,
    turned,
)  # fmt: skip


def clutter(rng: np.random.Generator) -> list[Patch]:
    """Something small, about 1 wide, standing on z = 0."""
    return pick(rng, (_marble, _pebble, _pencil, _ring, _mug, _coin, _spool, _apple, _bowl, _bottle))(rng)


def _speckled(rng: np.random.Generator, rgb: Vector, gloss: float) -> Painter:
    a, deep = rng.random(), rng.uniform(0.1, 0.6)

    def paint(u: Floats, v: Floats) -> Paint:
        light = 1 - deep * 0.5 + deep * noise(u * 0.9 + a, v * 0.7)
        return Paint(tinted(rgb, light), gloss)

    return paint


def _marble(rng: np.random.Generator) -> list[Patch]:
    return [Patch(ball(0.4, 0.4, 0.4), _speckled(rng, colour(rng), 0.9), shine=7).after(moved(0, 0, 0.4))]


def _pebble(rng: np.random.Generator) -> list[Patch]:
    high = rng.uniform(0.2, 0.35)
    shape = ball(rng.uniform(0.35, 0.55), rng.uniform(0.3, 0.45), high)
    grey = hue(rng.random(), 0.1, rng.uniform(0.3, 0.8))
    return [Patch(shape, _speckled(rng, grey, 0.1)).after(moved(0, 0, high))]


def _pencil(rng: np.random.Generator) -> list[Patch]:
    rgb, r = colour(rng), 0.075
    corners = [(0.0, 0.0), (r, 0.0), (r, 0.0), (r, 1.8), (r, 1.8), (0.02, 2.05), (0.0, 2.08)]

    def paint(u: Floats, v: Floats) -> Paint:
        flat = 0.85 + 0.3 * wave(u * 6)
        shown = mix(mix(rgb, (0.85, 0.7, 0.5), step(v, 0.85, 0.86)), (0.1, 0.1, 0.12), step(v, 0.97, 0.975))
        return Paint(shown * flat[..., None], 0.3)

    pose = turned("x", 0.25).then(turned("z", rng.random())).then(moved(0, 0, r))
    return [Patch(lathe(corners, rounds=0), paint).after(moved(0, 0, -1)).after(pose)]


def _ring(rng: np.random.Generator) -> list[Patch]:
    thick = rng.uniform(0.05, 0.12)
    metal = chance(rng, 0.5)
    rgb = hue(0.12, rng.uniform(0, 0.5), 0.8) if metal else colour(rng)
    painter = plain(rgb, gloss=0.6, metal=0.8 if metal else 0.0)
    return [Patch(ring(rng.uniform(0.3, 0.45), thick), painter, shine=6).after(moved(0, 0, thick))]


def _mug(rng: np.random.Generator) -> list[Patch]:
    high, painter = rng.uniform(0.7, 0.95), _speckled(rng, colour(rng), 0.6)
    corners = [
        (0.0, 0.0), (0.34, 0.0), (0.38, 0.05), (0.38, high), (0.38, high), (0.34, high), (0.34, high),
        (0.33, 0.1), (0.0, 0.08),
    ]  # fmt: skip
    handle = (
        Patch(ring(0.22, 0.05), painter, shine=5).after(turned("x", 0.25)).after(moved(0.42, 0, high / 2))
    )
    parts = [Patch(lathe(corners, rounds=1), painter, shine=5), handle]
    return [part.after(turned("z", rng.random())) for part in parts]


def _coin(rng: np.random.Generator) -> list[Patch]:
    rgb = pick(rng, ((0.8, 0.65, 0.35), (0.75, 0.75, 0.77), (0.7, 0.45, 0.3)))
    corners = [(0.3, 0.0), (0.3, 0.0), (0.3, 0.05), (0.3, 0.05), (0.27, 0.05), (0.26, 0.04), (0.0, 0.04)]

    def paint(u: Floats, v: Floats) -> Paint:
        relief = 0.85 + 0.3 * step(noise(u * 0.5, v * 0.6), 0.45, 0.55)
        return Paint(tinted(rgb, relief), 0.5, 0.6)

    pile = range(int(rng.integers(1, 4)))
    shift = [(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)) for _ in pile]
    return [
        Patch(lathe(corners, rounds=0), paint).after(moved(shift[n][0], shift[n][1], 0.05 * n)) for n in pile
    ]


def _spool(rng: np.random.Generator) -> list[Patch]:
    rgb = colour(rng)
    corners = [
        (0.0, 0.0), (0.3, 0.0), (0.3, 0.08), (0.24, 0.1), (0.24, 0.1), (0.24, 0.6), (0.24, 0.6), (0.3, 0.62),
        (0.3, 0.7), (0.3, 0.7), (0.06, 0.7), (0.0, 0.6),
    ]  # fmt: skip

    def paint(u: Floats, v: Floats) -> Paint:
        thread = step(v, 0.27, 0.28) * step(v, 0.66, 0.65)
        light = 0.8 + 0.3 * wave(v * 70 + u)
        shown = mix((0.75, 0.6, 0.4), rgb, thread)
        return Paint(shown * (1 + (light - 1) * thread)[..., None], 0.2)

    return [Patch(lathe(corners, rounds=0), paint)]


def _apple(rng: np.random.Generator) -> list[Patch]:
    rgb, second = hue(rng.uniform(-0.02, 0.3), 0.8, rng.uniform(0.55, 0.85)), hue(0.16, 0.6, 0.8)
    corners = [
        (0.0, 0.06), (0.15, 0.0), (0.32, 0.08), (0.44, 0.35), (0.42, 0.6), (0.25, 0.75), (0.1, 0.74),
        (0.0, 0.64),
    ]  # fmt: skip

    def paint(u: Floats, v: Floats) -> Paint:
        return Paint(mix(rgb, second, step(noise(u * 1.5, v * 0.2) + 0.4 * v, 0.6, 1.1)), 0.6)

    stem = Patch(ball(0.02, 0.02, 0.12), plain((0.3, 0.2, 0.1))).after(moved(0.02, 0, 0.75))
    return [Patch(lathe(corners), paint, shine=5), stem]


def _bowl(rng: np.random.Generator) -> list[Patch]:
    corners = [
        (0.0, 0.0), (0.25, 0.0), (0.45, 0.2), (0.52, 0.42), (0.52, 0.42), (0.49, 0.42), (0.42, 0.22),
        (0.2, 0.06), (0.0, 0.05),
    ]  # fmt: skip
    return [Patch(lathe(corners), _speckled(rng, colour(rng), 0.6), shine=5)]


def _bottle(rng: np.random.Generator) -> list[Patch]:
    rgb, lid = colour(rng), colour(rng)
    corners = [
        (0.0, 0.0), (0.26, 0.0), (0.28, 0.05), (0.28, 0.75), (0.26, 0.85), (0.1, 1.0), (0.1, 1.0),
        (0.13, 1.01), (0.13, 1.01), (0.13, 1.2), (0.13, 1.2), (0.0, 1.2),
    ]  # fmt: skip

    def paint(u: Floats, v: Floats) -> Paint:
        label = step(v, 0.26, 0.265) * step(v, 0.5, 0.495)
        words = step(noise(u * 3, v * 9), 0.5, 0.55) * 0.6
        shown = mix(mix(rgb, (0.93, 0.92, 0.88), label * (1 - words)), lid, step(v, 0.76, 0.765))
        return Paint(shown, 0.6)

    lies = turned("x", 0.25).then(turned("z", rng.random())).then(moved(0, 0, 0.28))
    parts = [Patch(lathe(corners, rounds=1), paint, shine=5)]
    return [part.after(moved(0, 0, -0.6)).after(lies) for part in parts] if chance(rng, 0.4) else parts


def placed(parts: list[Patch], rng: np.random.Generator, size: float, x: float, y: float) -> list[Patch]:
    """Turned and put somewhere."""
    pose = scaled(size).then(turned("z", rng.random())).then(moved(x, y, 0.0))
    return [part.after(pose) for part in parts]


# Grounds and walls: functions of two lengths


def surface(rng: np.random.Generator) -> Painter:
    """What a table, a floor or a wall is made of, turned and scaled at random."""
    make = pick(
        rng, (_planks, _planks, _cloth, _marble_slab, _concrete, _checked, _paper, _carpet, _tiles, _grass)
    )
    painter, size = make(rng), rng.uniform(0.7, 1.4)
    pose = turned("z", rng.random())
    (c, s, _), _, _ = pose.rows
    a, b = rng.uniform(0, 9), rng.uniform(0, 9)

    def paint(x: Floats, y: Floats) -> Paint:
        return painter((x * c + y * s) * size + a, (y * c - x * s) * size + b)

    return paint


def _planks(rng: np.random.Generator) -> Painter:
    rgb = hue(rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.65), rng.uniform(0.3, 0.85))
    wide, gloss = rng.uniform(0.5, 1.6), rng.uniform(0.0, 0.4)

    def paint(x: Floats, y: Floats) -> Paint:
        row = np.floor(y / wide)
        shade = noise(row * 0.37, row * 0.21)
        warp = noise(x * 0.04 + row * 0.13, y * 0.12)
        light = (
            0.72
            + 0.2 * shade
            + 0.16 * wave(y * 2.2 + warp * 6)
            + 0.22 * (noise(x * 0.06 + row, y * 1.6) - 0.4)
        )
        gap = step(wave(y / wide), 0.03, 0.012)
        return Paint(tinted(rgb, light * (1 - 0.6 * gap)), gloss)

    return paint


def _cloth(rng: np.random.Generator) -> Painter:
    rgb, fine = colour(rng), rng.uniform(9, 16)

    def paint(x: Floats, y: Floats) -> Paint:
        weave = 0.82 + 0.22 * np.maximum(wave(x * fine), wave(y * fine)) * (0.6 + 0.4 * noise(x * 2, y * 2))
        folds = 0.9 + 0.25 * (noise(x * 0.08, y * 0.05) - 0.4)
        return Paint(tinted(rgb, weave * folds), 0.0)

    return paint


def _marble_slab(rng: np.random.Generator) -> Painter:
    rgb = hue(rng.random(), 0.08, rng.uniform(0.35, 0.9))

    def paint(x: Floats, y: Floats) -> Paint:
        bent = noise(x * 0.05, y * 0.05)
        vein = step(np.abs(noise(x * 0.06 + bent * 0.3, y * 0.06 + 0.4) - 0.5), 0.05, 0.0)
        light = 0.85 + 0.2 * bent - 0.3 * vein
        return Paint(tinted(rgb, light), 0.45)

    return paint


def _concrete(rng: np.random.Generator) -> Painter:
    rgb = hue(rng.uniform(0.05, 0.65), 0.08, rng.uniform(0.35, 0.75))

    def paint(x: Floats, y: Floats) -> Paint:
        light = 0.75 + 0.4 * noise(x * 0.09, y * 0.09) + 0.12 * grain(x * 0.13, y * 0.13)
        return Paint(tinted(rgb, light), 0.05)

    return paint


def _checked(rng: np.random.Generator) -> Painter:
    rgb, paper, wide = colour(rng), (0.93, 0.92, 0.88), rng.uniform(0.5, 1.3)

    def paint(x: Floats, y: Floats) -> Paint:
        a = step(wave(x / wide), 0.46, 0.54)
        b = step(wave(y / wide), 0.46, 0.54)
        weave = 0.9 + 0.12 * wave((x + y) * 11)
        return Paint(mix(paper, rgb, (a + b) * 0.5) * weave[..., None], 0.0)

    return paint


def _paper(rng: np.random.Generator) -> Painter:
    rgb = hue(rng.random(), rng.uniform(0.0, 0.5), rng.uniform(0.5, 0.95))

    def paint(x: Floats, y: Floats) -> Paint:
        light = 0.93 + 0.1 * noise(x * 0.05, y * 0.05) + 0.02 * grain(x * 0.2, y * 0.2)
        return Paint(tinted(rgb, light), 0.05)

    return paint


def _carpet(rng: np.random.Generator) -> Painter:
    rgb, second = colour(rng), colour(rng)
    patterned = chance(rng, 0.4)

    def paint(x: Floats, y: Floats) -> Paint:
        tuft = 0.72 + 0.3 * noise(x * 0.9, y * 0.9) + 0.2 * grain(x * 0.1, y * 0.1)
        share = step(noise(x * 0.1, y * 0.1), 0.45, 0.5) * (0.7 if patterned else 0.0)
        return Paint(mix(rgb, second, share) * tuft[..., None], 0.0)

    return paint


def _tiles(rng: np.random.Generator) -> Painter:
    rgb, wide = colour(rng) if chance(rng, 0.5) else hue(0.1, 0.1, 0.85), rng.uniform(0.8, 1.8)

    def paint(x: Floats, y: Floats) -> Paint:
        joint = np.minimum(wave(x / wide), wave(y / wide))
        own = noise(np.floor(x / wide) * 0.31, np.floor(y / wide) * 0.17)
        light = 0.8 + 0.2 * own + 0.08 * (noise(x * 0.3, y * 0.3) - 0.5)
        grout = step(joint, 0.06, 0.03)
        return Paint(mix(tinted(rgb, light), (0.6, 0.58, 0.55), grout), 0.4 * (1 - grout))

    return paint


def _grass(rng: np.random.Generator) -> Painter:
    rgb = hue(rng.uniform(0.18, 0.33), rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.7))

    def paint(x: Floats, y: Floats) -> Paint:
        blades = noise(x * 1.6 + 0.4 * noise(x * 0.3, y * 0.3), y * 0.35)
        other = noise(x * 0.4, y * 1.5)
        light = 0.35 + 0.75 * np.maximum(blades, other) + 0.2 * (noise(x * 0.1, y * 0.1) - 0.5)
        return Paint(mix(tinted(rgb, light), (0.75, 0.7, 0.4), step(other, 0.62, 0.9) * 0.6), 0.0)

    return paint
