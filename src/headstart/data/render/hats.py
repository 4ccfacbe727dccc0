"""Hats: top hats, bowlers, fedoras, sun hats of straw, western hats, caps."""

import numpy as np

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
from headstart.data.render.patch import Paint, Painter, Patch, Points, ball, lathe, moved, plain, turned

Corners = list[tuple[float, float]]
STRAW = ((0.86, 0.72, 0.45), (0.78, 0.62, 0.36), (0.93, 0.85, 0.66))


def hat(rng: np.random.Generator) -> list[Patch]:
    """A hat as it lies on a table: brim down, sometimes on its side or on its crown."""
    make = pick(
        rng, (_top_hat, _bowler, _fedora, _fedora, _sun_hat, _sun_hat, _western, _western, _cap, _cap)
    )
    parts, lies = make(rng), rng.random()
    if lies < 0.8:
        return parts
    over = 0.5 if lies > 0.92 else rng.uniform(0.12, 0.36)
    return [part.after(turned("z", rng.random())).after(turned("x", over)) for part in parts]


def _crowned(  # noqa: PLR0913  how a brim and a crown are bent
    rng: np.random.Generator,
    corners: Corners,
    cloth: Painter,
    *,
    oval: float = 0.84,
    curl: float = 0.0,
    dip: float = 0.0,
    pinch: float = 0.0,
    waves: float = 0.0,
) -> list[Patch]:
    """A hat in one piece from the brim's edge (radius 1) to the crown's top.

    `curl` lifts the brim's sides, `dip` lowers its front and back, `pinch` dents the crown, `waves` moves the
    brim up and down.
    """
    plain_shape = lathe(corners)
    top = max(z for _, z in corners)
    turns = int(rng.integers(2, 5))
    start = rng.random()

    def shape(u: Floats, v: Floats) -> Points:
        x, y, z = plain_shape(u, v)
        out = np.maximum(x * x + y * y - np.float32(0.3), 0)
        z = z + curl * out * x * x - dip * out * y * y + waves * out * sine(u * turns + start)
        if pinch:
            high = step(z, 0.55 * top, top)
            x = x * (1 - pinch * 0.45 * high * step(y, -0.3, 0.45))
            z = z - pinch * 0.5 * step(z, 0.7 * top, top) * step(np.abs(x), 0.26, 0.02)
        return x * oval, y, z

    return [Patch(shape, cloth, shine=3)]


def _banded(cloth: Painter, band: Vector, low: float, high: float) -> Painter:
    """Cloth with a ribbon from `low` to `high` along the outline."""

    def paint(u: Floats, v: Floats) -> Paint:
        below = cloth(u, v)
        there = step(v, low - 0.004, low + 0.004) * step(v, high + 0.004, high - 0.004)
        ribs = 0.92 + 0.08 * wave(v * 160)
        bow = step(np.abs(u - np.float32(0.25)), 0.045, 0.035) * 0.18
        ribbon = tinted(band, ribs - bow)
        rgb = below.rgb + (ribbon - below.rgb) * there[..., None]
        return Paint(rgb, 0.12 + 0.2 * there)

    return paint


def _felt(rgb: Vector, gloss: float = 0.08) -> Painter:
    def paint(u: Floats, v: Floats) -> Paint:
        cloudy = 0.9 + 0.2 * noise(u * 1.5, v * 1.2)
        fine = 0.94 + 0.12 * noise(u * 14, v * 9)
        return Paint(tinted(rgb, cloudy * fine), gloss)

    return paint


def _straw(rgb: Vector, rows: int) -> Painter:
    def paint(u: Floats, v: Floats) -> Paint:
        row = v * rows
        braid = wave(row)
        slant = wave(u * 110 + 0.5 * np.floor(row) + row * 0.4)
        light = 0.68 + 0.24 * braid + 0.18 * slant * braid + 0.16 * (noise(u * 9, v * 9) - 0.5)
        return Paint(tinted(rgb, light), 0.18)

    return paint


def _top_hat(rng: np.random.Generator) -> list[Patch]:
    tall, flare = rng.uniform(0.85, 1.3), rng.uniform(0.0, 0.08)
    wide = rng.uniform(0.56, 0.66)
    corners = [
        (1.0, 0.02), (1.0, 0.02), (1.0, 0.05), (0.98, 0.05), (wide + 0.04, 0.0), (wide, 0.02), (wide, 0.1),
        (wide - 0.03, tall / 2), (wide + flare, tall), (wide + flare, tall), (wide - 0.1, tall + 0.02),
        (0.0, tall + 0.02),
    ]  # fmt: skip
    dark = chance(rng, 0.6)
    rgb = hue(rng.random(), 0.15, rng.uniform(0.1, 0.22)) if dark else colour(rng)
    cloth = _felt(rgb, rng.uniform(0.1, 0.45))
    band = colour(rng) if chance(rng, 0.6) else hue(0.0, 0.0, 0.06)
    return _crowned(rng, corners, _banded(cloth, band, 0.245, 0.33), curl=rng.uniform(0.1, 0.35), oval=0.88)


def _bowler(rng: np.random.Generator) -> list[Patch]:
    tall, wide = rng.uniform(0.6, 0.8), rng.uniform(0.62, 0.72)
    corners = [
        (1.0, 0.14), (1.02, 0.11), (0.98, 0.04), (0.84, 0.0), (wide + 0.04, 0.0), (wide, 0.03), (wide, 0.2),
        (wide - 0.01, tall * 0.6), (wide * 0.82, tall * 0.93), (wide * 0.45, tall), (0.0, tall),
    ]  # fmt: skip
    cloth = _felt(hue(rng.random(), 0.2, rng.uniform(0.1, 0.3)) if chance(rng, 0.5) else colour(rng), 0.2)
    band = colour(rng) if chance(rng, 0.5) else hue(0.0, 0.0, 0.08)
    return _crowned(rng, corners, _banded(cloth, band, 0.33, 0.43), curl=rng.uniform(0.1, 0.3), oval=0.85)


def _fedora(rng: np.random.Generator) -> list[Patch]:
    tall, wide = rng.uniform(0.62, 0.78), rng.uniform(0.52, 0.62)
    corners = [
        (1.0, 0.03), (1.0, 0.06), (0.98, 0.06), (wide + 0.06, 0.0), (wide, 0.02), (wide, 0.14),
        (wide - 0.04, tall * 0.5), (wide - 0.1, tall * 0.92), (wide - 0.2, tall), (0.0, tall * 0.94),
    ]  # fmt: skip
    straw = chance(rng, 0.35)
    cloth = _straw(pick(rng, STRAW), int(rng.integers(26, 40))) if straw else _felt(colour(rng))
    painter = _banded(cloth, colour(rng), 0.31, 0.42)
    return _crowned(
        rng,
        corners,
        painter,
        curl=rng.uniform(0.05, 0.3),
        dip=rng.uniform(0, 0.15),
        pinch=rng.uniform(0.4, 0.9),
    )


def _sun_hat(rng: np.random.Generator) -> list[Patch]:
    tall, wide = rng.uniform(0.36, 0.5), rng.uniform(0.4, 0.5)
    drop = rng.uniform(0.0, 0.14)
    corners = [
        (1.0, 0.0), (1.0, 0.02), (0.97, 0.03), (0.7, drop * 0.7), (wide + 0.08, drop), (wide, drop + 0.03),
        (wide, drop + 0.12), (wide * 0.95, drop + tall * 0.6), (wide * 0.75, drop + tall * 0.95),
        (0.0, drop + tall),
    ]  # fmt: skip
    cloth = _straw(pick(rng, STRAW), int(rng.integers(28, 52))) if chance(rng, 0.7) else _felt(colour(rng))
    painter = _banded(cloth, colour(rng), 0.465, 0.56) if chance(rng, 0.8) else cloth
    return _crowned(rng, corners, painter, oval=rng.uniform(0.85, 0.98), waves=rng.uniform(0.0, 0.1))


def _western(rng: np.random.Generator) -> list[Patch]:
    tall, wide = rng.uniform(0.55, 0.72), rng.uniform(0.42, 0.5)
    corners = [
        (1.0, 0.02), (1.0, 0.05), (0.97, 0.05), (wide + 0.08, 0.0), (wide, 0.03), (wide, 0.12),
        (wide - 0.05, tall * 0.6), (wide - 0.1, tall * 0.95), (wide - 0.2, tall), (0.0, tall * 0.95),
    ]  # fmt: skip
    brown = hue(rng.uniform(0.05, 0.11), rng.uniform(0.2, 0.65), rng.uniform(0.25, 0.85))
    cloth = _felt(brown if chance(rng, 0.6) else colour(rng))
    painter = _banded(cloth, colour(rng), 0.42, 0.475)
    return _crowned(
        rng, corners, painter, curl=rng.uniform(0.45, 0.8), dip=rng.uniform(0.1, 0.3),
        pinch=rng.uniform(0.6, 1.0), oval=rng.uniform(0.8, 0.95),
    )  # fmt: skip


def _cap(rng: np.random.Generator) -> list[Patch]:
    """A baseball cap: six panels, a button, a peak."""
    rgb, second = colour(rng), colour(rng)
    peak_rgb = rgb if chance(rng, 0.5) else second
    badge = second if chance(rng, 0.6) else rgb
    tall = rng.uniform(0.58, 0.74)
    dome = lathe(
        [(0.66, 0.0), (0.67, 0.1), (0.66, 0.25), (0.55, tall * 0.8), (0.3, tall * 0.98), (0.0, tall)]
    )

    def cloth(u: Floats, v: Floats) -> Paint:
        seam = step(np.abs(wave(u * 6)), 0.035, 0.0) * step(v, 0.05, 0.1)
        weave = 0.9 + 0.1 * wave(u * 170) * wave(v * 60) + 0.14 * (noise(u * 2, v * 1.5) - 0.5)
        stitches = step(np.abs(v - np.float32(0.06)), 0.008, 0.002) * step(wave(u * 120), 0.3, 0.6)
        a, b = (u - np.float32(0.25)) * 6, (v - np.float32(0.36)) * 4.2
        spot = step(a * a + b * b, 0.16, 0.14)
        rgb_here = mix(rgb, badge, spot) * (weave * (1 - 0.45 * seam) * (1 - 0.3 * stitches))[..., None]
        return Paint(rgb_here, 0.06)

    reach, bend = rng.uniform(0.5, 0.68), rng.uniform(0.12, 0.34)

    def peak(u: Floats, v: Floats) -> Points:
        across = (u - np.float32(0.5)) * 2
        inner = np.sqrt(np.maximum(1 - across * across, 0))
        x = across * 0.64
        y = inner * 0.6 + v * reach * (
            0.25 + 0.75 * np.sqrt(np.maximum(1 - across * across * across * across, 0))
        )
        z = 0.1 - bend * across * across - 0.1 * v + 0 * u
        return x + 0 * v, y, z + np.float32(bend * 0.75)

    def peak_paint(u: Floats, v: Floats) -> Paint:
        stitched = step(np.abs(wave(v * 7) - 0.1), 0.12, 0.0) * step(wave(u * 60), 0.2, 0.5)
        light = 0.92 + 0.12 * (noise(u * 2, v) - 0.5) - 0.14 * stitched
        return Paint(tinted(peak_rgb, light), 0.06)

    button = Patch(ball(0.06, 0.06, 0.04), plain(peak_rgb)).after(moved(0, 0, tall))
    return [Patch(dome, cloth, shine=3), Patch(peak, peak_paint, shine=3), button]
