"""Torches, as held in a hand: a head with a reflector, a grip, a switch, sometimes switched on."""

import math

import numpy as np

from headstart.data.render.maths import (
    Floats,
    Vector,
    chance,
    colour,
    cosine,
    hue,
    mix,
    noise,
    pick,
    sine,
    step,
    tinted,
    wave,
)
from headstart.data.render.patch import (
    Paint,
    Painter,
    Patch,
    Points,
    Pose,
    Shape,
    ball,
    lathe,
    moved,
    outline,
    plain,
    read,
    ring,
    turned,
)  # fmt: skip

Beam = tuple[Vector, Vector, Vector, float]  # where from, where to, colour, cosine of the half angle


def torch(rng: np.random.Generator) -> tuple[list[Patch], list[Beam]]:
    """A torch that lies or stands, and its beam if it is on."""
    long, slim = rng.uniform(2.0, 3.4), rng.uniform(0.2, 0.3)
    wide = slim * rng.uniform(1.2, 2.1)
    metal = chance(rng, 0.55)
    rgb = hue(rng.random(), 0.1, pick(rng, (0.12, 0.16, 0.7, 0.8))) if metal else colour(rng)
    second = hue(rng.random(), 0.1, rng.uniform(0.08, 0.2)) if chance(rng, 0.6) else colour(rng)
    neck = long - rng.uniform(0.45, 0.75)
    rim = long - rng.uniform(0.12, 0.22)
    corners = [
        (0.0, 0.0), (slim * 0.8, 0.0), (slim * 0.98, 0.03), (slim, 0.08), (slim, 0.34), (slim, 0.34),
        (slim * 0.92, 0.36), (slim * 0.92, 0.4), (slim, 0.42), (slim, 0.42), (slim, neck - 0.12),
        (slim, neck - 0.12),
        (slim * 0.9, neck - 0.1), (slim * 0.9, neck - 0.05), (slim * 1.05, neck), (wide * 0.93, rim - 0.14),
        (wide * 0.93, rim), (wide * 0.93, rim), (wide, rim + 0.01), (wide, rim + 0.01), (wide, long - 0.02),
        (wide * 0.97, long), (wide * 0.88, long), (wide * 0.86, long - 0.03),
    ]  # fmt: skip
    body = Patch(
        _gripped(rng, corners, slim, (0.55, neck - 0.25)),
        _coat(rgb, second, 0.55 if metal else 0.0, (0.36, neck - 0.08, rim), outline(corners)[1]),
        shine=5,
    )
    on = chance(rng, 0.5)
    warm = pick(rng, ((1.0, 0.85, 0.6), (1.0, 0.96, 0.9), (0.85, 0.93, 1.0)))
    bowl = lathe(
        [(0.0, long - 0.3), (wide * 0.25, long - 0.29), (wide * 0.6, long - 0.2), (wide * 0.87, long - 0.03)]
    )
    patches = [body, Patch(bowl, _reflector(warm, on=on), shine=6), *_bulb(wide, long, warm, on=on)]
    if chance(rng, 0.8):
        patches.append(_switch(rng, slim, rng.uniform(0.5, 0.72) * long))
    if chance(rng, 0.3):
        patches.append(Patch(ring(0.13, 0.025), plain((0.7, 0.7, 0.72), gloss=0.6, metal=0.8)).after(
            turned("x", 0.25)).after(moved(0, 0, -0.11)))  # fmt: skip
    pose = _pose(rng, slim, wide, long)
    x, y, z = pose.point((0.0, 0.0, long))
    ahead = (pose.rows[0][2], pose.rows[1][2], pose.rows[2][2])
    bright = rng.uniform(1.0, 2.5)
    rgb_on = (warm[0] * bright, warm[1] * bright, warm[2] * bright)
    beams = [((x, y, z), ahead, rgb_on, rng.uniform(0.75, 0.9))] if on else []
    return [patch.after(pose) for patch in patches], beams


def _pose(rng: np.random.Generator, slim: float, wide: float, long: float) -> Pose:
    """Mostly lying on rim and tail; sometimes standing on either end."""
    stands = rng.random()
    roll = turned("z", rng.uniform(-0.2, 0.2))
    if stands < 0.1:
        return roll
    if stands < 0.2:
        return roll.then(turned("x", 0.5)).then(moved(0, 0, long))
    tilt = math.asin((wide - slim) / long) / (2 * math.pi)
    return roll.then(turned("x", 0.25 - round(tilt, 9)))


def _gripped(
    rng: np.random.Generator, corners: list[tuple[float, float]], slim: float, between: tuple[float, float]
) -> Shape:
    """The body with a pattern cut into its grip: diamonds, rings or grooves."""
    radius, height = outline(corners)
    kind = pick(rng, ("diamonds", "rings", "grooves", "none", "rings", "diamonds"))
    count, deep = int(rng.integers(10, 20)), slim * rng.uniform(0.05, 0.1)
    low, high = between
    across = rng.uniform(7, 14)

    def shape(u: Floats, v: Floats) -> Points:
        r, z = read(radius, v), read(height, v)
        where = step(z, low, low + 0.03) * step(z, high, high - 0.03)
        if kind == "diamonds":
            cut = wave(u * count + z * across) * wave(u * count - z * across)
        elif kind == "rings":
            cut = step(wave(z * across * 0.7), 0.3, 0.7) + 0 * u
        elif kind == "grooves":
            cut = step(wave(u * count), 0.25, 0.55) + 0 * v
        else:
            cut = 0 * u + 0 * v
        r = r + deep * where * (cut - 0.5)
        return r * cosine(u), r * sine(u), z + 0 * u

    return shape


def _coat(
    rgb: Vector, second: Vector, metal: float, at: tuple[float, float, float], height: Floats
) -> Painter:
    """Body and head in one colour, tail cap and bezel in another where they differ."""
    tail, neck, rim = at
    split = abs(rgb[0] - second[0]) + abs(rgb[2] - second[2]) > 0.5

    def paint(u: Floats, v: Floats) -> Paint:
        z = read(height, v)
        other = step(z, tail, tail - 0.01) + step(z, rim, rim + 0.01) if split else 0 * z
        light = 0.94 + 0.12 * (noise(u, v * 2) - 0.5) - 0.35 * step(np.abs(z - np.float32(neck)), 0.03, 0.015)
        return Paint(mix(rgb, second, other) * light[..., None], 0.55, metal)

    return paint


def _reflector(warm: Vector, *, on: bool) -> Painter:
    def paint(u: Floats, v: Floats) -> Paint:
        light = 0.8 + 0.2 * wave(v * 9 + 0 * u)
        glow = (1.6 - 0.9 * v if on else 0 * v) + 0 * u
        rgb = tinted(warm if on else (0.9, 0.9, 0.92), light)
        return Paint(rgb, 0.8, 0.8, glow)

    return paint


def _bulb(wide: float, long: float, warm: Vector, *, on: bool) -> list[Patch]:
    def paint(u: Floats, v: Floats) -> Paint:
        shape = np.broadcast_shapes(u.shape, v.shape)
        rgb = warm if on else (0.85, 0.8, 0.55)
        return Paint(np.broadcast_to(np.array(rgb, np.float32), (*shape, 3)), 0.8, 0.0, 8.0 if on else 0.0)

    size = wide * 0.2
    return [Patch(ball(size, size, size * 1.2), paint).after(moved(0, 0, long - 0.22))]


def _switch(rng: np.random.Generator, slim: float, z: float) -> Patch:
    rgb = pick(rng, ((0.75, 0.1, 0.08), (0.1, 0.1, 0.1), (0.85, 0.85, 0.85), (0.1, 0.4, 0.2)))
    button = ball(0.3 * slim, 0.22 * slim, rng.uniform(0.3, 0.7) * slim)
    # towards -y, which becomes "up" when the torch lies down
    return Patch(button, plain(rgb, gloss=0.5)).after(moved(0, -slim * 1.0, z))
