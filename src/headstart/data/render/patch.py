"""Surfaces as functions of u and v, and where they stand in the world."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from headstart.data.render.maths import Floats, Vector, aim, cosine, dot, sine

Points = tuple[Floats, Floats, Floats]
Shape = Callable[[Floats, Floats], Points]
ALONG = 256  # samples along an outline


@dataclass(frozen=True)
class Paint:
    """How points [n] look: colour as the screen shows it, and how they answer light; each 0 to 1."""

    rgb: Floats  # [n, 3]
    gloss: Floats | float = 0.1  # strength of highlights
    metal: Floats | float = 0.0  # share that mirrors the surroundings
    glow: Floats | float = 0.0  # shines by itself


Painter = Callable[[Floats, Floats], Paint]


@dataclass(frozen=True)
class Pose:
    """A rotation, a scale and a shift."""

    rows: tuple[Vector, Vector, Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    shift: Vector = (0.0, 0.0, 0.0)

    def __call__(self, x: Floats, y: Floats, z: Floats) -> Points:
        """The points after it."""
        found = [
            x * row[0] + y * row[1] + z * row[2] + move
            for row, move in zip(self.rows, self.shift, strict=True)
        ]
        return found[0], found[1], found[2]

    def point(self, at: Vector) -> Vector:
        """One point after it."""
        found = [dot(row, at) + move for row, move in zip(self.rows, self.shift, strict=True)]
        return found[0], found[1], found[2]

    def then(self, after: "Pose") -> "Pose":
        """This one first, `after` second."""
        one, two, three = self.rows
        rows = [
            (
                a * one[0] + b * two[0] + c * three[0],
                a * one[1] + b * two[1] + c * three[1],
                a * one[2] + b * two[2] + c * three[2],
            )
            for a, b, c in after.rows
        ]
        return Pose((rows[0], rows[1], rows[2]), after.point(self.shift))


def turned(axis: str, turns: float) -> Pose:
    """A rotation about x, y or z, in whole turns."""
    c, s = aim(turns)
    if axis == "x":
        return Pose(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)))
    if axis == "y":
        return Pose(((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))
    return Pose(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))


def moved(x: float, y: float, z: float) -> Pose:
    """A shift."""
    return Pose(shift=(x, y, z))


def scaled(factor: float) -> Pose:
    """The same, larger."""
    return Pose(((factor, 0.0, 0.0), (0.0, factor, 0.0), (0.0, 0.0, factor)))


@dataclass(frozen=True)
class Patch:
    """One surface. `cut` says which points are there at all; `shine` is how often a highlight is squared."""

    shape: Shape
    paint: Painter
    cut: Callable[[Floats, Floats], Any] | None = None
    shine: int = 4
    pose: Pose = field(default_factory=Pose)

    def after(self, pose: Pose) -> "Patch":
        """The same surface, moved."""
        return replace(self, pose=self.pose.then(pose))

    def world(self, u: Floats, v: Floats) -> Points:
        """Where points of the surface are."""
        return self.pose(*self.shape(u, v))


def outline(corners: Sequence[tuple[float, float]], *, rounds: int = 2) -> tuple[Floats, Floats]:
    """Radius and height along a line through these corners, each [256]; corners given twice stay sharp."""
    line = list(corners)
    for _ in range(rounds):
        cut = [line[0]]
        for (r0, z0), (r1, z1) in pairwise(line):
            if (r0, z0) == (r1, z1):
                cut += [(r0, z0), (r1, z1)]
            else:
                cut += [(0.75 * r0 + 0.25 * r1, 0.75 * z0 + 0.25 * z1)]
                cut += [(0.25 * r0 + 0.75 * r1, 0.25 * z0 + 0.75 * z1)]
        line = [*cut, line[-1]]
    radius, height = np.array(line).T
    ways = np.sqrt(np.diff(radius) ** 2 + np.diff(height) ** 2)
    along = np.concatenate([[0.0], np.cumsum(ways)])
    at = np.linspace(0, along[-1], ALONG)
    return np.interp(at, along, radius).astype(np.float32), np.interp(at, along, height).astype(np.float32)


def read(table: Floats, v: Floats) -> Floats:
    """The table's value at `v`, 0 to 1, between its entries."""
    at = np.clip(v, 0, 1) * np.float32(len(table) - 1)
    low = np.minimum(np.floor(at), np.float32(len(table) - 2))
    row = low.astype(np.int32)
    found: Floats = table[row] + (table[row + 1] - table[row]) * (at - low)
    return found


def lathe(corners: Sequence[tuple[float, float]], *, rounds: int = 2) -> Shape:
    """A solid of revolution about z: `u` goes round, `v` along the corners (radius, height)."""
    radius, height = outline(corners, rounds=rounds)

    def shape(u: Floats, v: Floats) -> Points:
        r = read(radius, v)
        z = read(height, v)
        return r * cosine(u), r * sine(u), z + 0 * u

    return shape


def ball(x: float, y: float, z: float) -> Shape:
    """An ellipsoid of these half axes."""

    def shape(u: Floats, v: Floats) -> Points:
        r = sine(v * 0.5)
        return x * r * cosine(u), y * r * sine(u), -z * cosine(v * 0.5) + 0 * u

    return shape


def ring(radius: float, thickness: float) -> Shape:
    """A torus about z."""

    def shape(u: Floats, v: Floats) -> Points:
        r = radius + thickness * cosine(v)
        return r * cosine(u), r * sine(u), thickness * sine(v) + 0 * u

    return shape


def plain(rgb: Vector, *, gloss: float = 0.2, metal: float = 0.0) -> Painter:
    """One colour all over."""

    def paint(u: Floats, v: Floats) -> Paint:
        return Paint(
            np.broadcast_to(np.array(rgb, np.float32), (*np.broadcast_shapes(u.shape, v.shape), 3)),
            gloss,
            metal,
        )

    return paint


def box(x: float, y: float, z: float, *, rounding: float) -> list[Shape]:
    """The six sides of a box of these half widths, edges rounded: +z, -z, +x, -x, +y, -y."""
    half = (x, y, z)

    def side(axis: int, sign: float) -> Shape:
        def shape(u: Floats, v: Floats) -> Points:
            along = u * 2 - 1 if (sign > 0) != (axis == 1) else 1 - u * 2  # so that nothing is mirrored
            flat = [along + 0 * v, v * 2 - 1 + 0 * u]
            flat.insert(axis, np.full_like(flat[0], sign))
            outer = [part * full for part, full in zip(flat, half, strict=True)]
            inner = [
                np.clip(part, rounding - full, full - rounding)
                for part, full in zip(outer, half, strict=True)
            ]
            away = [a - b for a, b in zip(outer, inner, strict=True)]
            length = np.sqrt(away[0] * away[0] + away[1] * away[1] + away[2] * away[2])
            found = [b + a * (rounding / length) for a, b in zip(away, inner, strict=True)]
            return found[0], found[1], found[2]

        return shape

    return [side(axis, sign) for axis in (2, 0, 1) for sign in (1.0, -1.0)]
