"""Screws: a helical thread, a point or a flat end, a head with a drive; alone or a few."""

import math

import numpy as np

from headstart.data.render.maths import Floats, Vector, chance, cosine, noise, pick, sine, step, tinted, wave
from headstart.data.render.patch import (
    Paint,
    Painter,
    Patch,
    Points,
    Pose,
    Shape,
    moved,
    outline,
    read,
    turned,
)  # fmt: skip

METALS = (
    (0.72, 0.73, 0.75), (0.62, 0.63, 0.66), (0.8, 0.66, 0.36), (0.86, 0.76, 0.42), (0.16, 0.16, 0.18),
    (0.55, 0.42, 0.32), (0.78, 0.79, 0.8),
)  # fmt: skip
HEADS = ("flat", "flat", "pan", "pan", "round", "hex", "socket")


def screw(rng: np.random.Generator) -> list[Patch]:
    """One to three screws of a kind, lying, on their heads, or driven in."""
    head, rgb = pick(rng, HEADS), pick(rng, METALS)
    drive = {"hex": "none", "socket": "hex"}.get(head, pick(rng, ("slot", "cross", "cross", "star")))
    long, thick = rng.uniform(1.5, 3.2), rng.uniform(0.15, 0.26)
    pitch = thick * rng.uniform(0.75, 1.25)
    pointed = head not in ("hex", "socket") and chance(rng, 0.75)
    bare = rng.uniform(0.0, 0.4) if chance(rng, 0.6) else 0.03
    wide = thick * rng.uniform(1.8, 2.3)
    patches = [
        Patch(_shaft(long, thick, pitch, pointed=pointed, bare=bare), _steel(rgb), shine=6),
        *_head(head, drive, wide, thick, long, rgb),
    ]
    tall = long + wide * 0.8
    count = int(rng.integers(2, 4)) if chance(rng, 0.3) else 1
    stands = rng.random()
    found = []
    for number in range(count):
        roll = turned("z", rng.random())
        if stands < 0.12:
            pose = roll.then(turned("x", 0.5)).then(moved(0, 0, tall))
        elif stands < 0.27:
            pose = roll.then(turned("x", rng.uniform(-0.03, 0.03))).then(
                moved(0, 0, -long * rng.uniform(0.3, 0.75))
            )
        else:
            pose = roll.then(_lying(wide, thick if not pointed else 0.3 * thick, tall))
            pose = pose.then(turned("z", rng.uniform(-0.12, 0.12) if count > 1 else 0.0))
        pose = pose.then(moved((number - (count - 1) / 2) * wide * rng.uniform(2.2, 3.2), 0, 0))
        found += [patch.after(pose) for patch in patches]
    return found


def _lying(wide: float, end: float, long: float) -> Pose:
    """On the head's rim and the other end."""
    tilt = math.asin((wide - end) / long) / (2 * math.pi)
    return turned("x", 0.25 - round(tilt, 9))


def _shaft(long: float, thick: float, pitch: float, *, pointed: bool, bare: float) -> Shape:
    """From the tip at z = 0 upwards; `bare` is the share below the head without a thread."""
    core = thick * 0.72

    def shape(u: Floats, v: Floats) -> Points:
        z = v * np.float32(long) + 0 * u
        ridge = np.maximum(wave(z * np.float32(1 / pitch) - u) * 1.7 - 0.7, 0)
        ends = step(v, 0.0, 0.3) * 0.92 + 0.08 * step(v, 0.0, 0.02) if pointed else step(v, 0.0, 0.02)
        thread = step(v, 1.0 - bare + 0.02, 1.0 - bare - 0.04)
        r = core * ends + (thick - core) * ridge * thread * np.clip(ends * 1.6, 0, 1)
        return r * cosine(u), r * sine(u), z

    return shape


def _steel(rgb: Vector) -> Painter:
    def paint(u: Floats, v: Floats) -> Paint:
        light = 0.9 + 0.25 * (noise(u * 0.6, v * 3) - 0.5)
        return Paint(tinted(rgb, light), 0.7, 0.85)

    return paint


def _head(kind: str, drive: str, wide: float, thick: float, long: float, rgb: Vector) -> list[Patch]:
    """Side and top of the head, which begins where the shaft ends."""
    r, neck = wide, thick * 0.75
    sides = {
        "flat": [(neck, 0.0), (r, r * 0.65), (r, r * 0.72)],
        "pan": [(neck, 0.0), (r * 0.97, 0.0), (r, 0.03), (r, r * 0.35)],
        "round": [(neck, 0.0), (r, 0.0), (r, r * 0.1)],
        "hex": [
            (neck, 0.0),
            (r * 1.25, 0.0),
            (r * 1.25, 0.05),
            (r * 1.25, 0.05),
            (r, 0.06),
            (r, 0.06),
            (r, r * 0.75),
        ],
        "socket": [(neck, 0.0), (r * 0.82, 0.0), (r * 0.82, 0.0), (r * 0.82, r * 0.8)],
    }[kind]
    radius, height = outline(sides, rounds=1)
    end, tall = float(radius[-1]), float(height[-1])
    dome = {"flat": 0.04, "pan": 0.3, "round": 0.75, "hex": 0.05, "socket": 0.04}[kind] * r
    knurled = kind == "socket"

    def corner(u: Floats) -> Floats:
        """How far a hexagon's edge is, of its corners' distance."""
        away = np.abs(wave(u * 6)) * 0.5
        return 0.866 / np.maximum(cosine((0.5 - away) / 6), np.float32(0.5))

    def side(u: Floats, v: Floats) -> Points:
        out, z = read(radius, v) + 0 * u, read(height, v) + 0 * u
        if kind == "hex":
            out = np.where(z > 0.058, out * corner(u), out)
        if knurled:
            out = out + 0.03 * r * (wave(u * 40) - 0.5) * step(z, tall * 0.15, tall * 0.2)
        return out * cosine(u), out * sine(u), z + np.float32(long)

    def top(u: Floats, v: Floats) -> Points:
        out = v * np.float32(end) + 0 * u
        if kind == "hex":
            out = out * corner(u)
        x, y = out * cosine(u), out * sine(u)
        z = dome * (1 - v * v) + 0 * u
        z = z - r * 0.34 * _recess(drive, x / r, y / r)
        return x, y, z + np.float32(long + tall)

    def top_paint(u: Floats, v: Floats) -> Paint:
        x, y, _ = top(u, v)
        deep = _recess(drive, x / r, y / r)
        brushed = 0.92 + 0.16 * (noise(v * 2.5, u * 0.02) - 0.5)
        return Paint(tinted(rgb, brushed * (1 - 0.72 * deep)), 0.7 - 0.5 * deep, 0.85 - 0.3 * deep)

    return [Patch(side, _steel(rgb), shine=6), Patch(top, top_paint, shine=6)]


def _recess(drive: str, x: Floats, y: Floats) -> Floats:
    """How deep, 0 to 1, the drive is cut at this place of the head, whose radius is 1."""
    if drive == "slot":
        return step(np.abs(x), 0.15, 0.11)
    if drive == "cross":
        arms = np.maximum(step(np.abs(x), 0.14, 0.09) * step(np.abs(y), 0.62, 0.45),
                          step(np.abs(y), 0.14, 0.09) * step(np.abs(x), 0.62, 0.45))  # fmt: skip
        found: Floats = np.maximum(arms, step(x * x + y * y, 0.07, 0.04))
        return found
    if drive in ("hex", "star"):
        a, b, c = np.abs(x), np.abs(0.5 * x + 0.866 * y), np.abs(0.5 * x - 0.866 * y)
        far = np.maximum(np.maximum(a, b), c)
        if drive == "hex":
            return step(far, 0.44, 0.4)
        near = np.minimum(np.minimum(a, b), c)
        return step(far + 0.35 * near, 0.5, 0.45)
    return 0 * x
