"""From surfaces to light: which point each pixel sees, and how bright it is there.

Pixels are found by a buffer of depths (Catmull 1974); shadows on things by the same from the light's place
(Williams 1978), on the ground by what stands between it and the light, blurred; highlights after Blinn 1977.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from headstart.data.render.maths import Vector, cross, dot, noise, step, unit
from headstart.data.render.patch import Paint, Painter, Patch
from headstart.values import Floats, Ints

COARSE = 13  # samples each way that tell how large a surface is in the picture
DENSE = 1.3  # points per pixel each way
MOST = 640  # points each way
INDEX_BITS = 24
FAR = np.iinfo(np.int64).max
SHADOW_PX = 176
REACH = 3.0  # half width of what is looked at for shadows; a thing's largest side is about 2
STEP = 1 / 400  # of u and v, for normals
BIAS = 0.05


@dataclass(frozen=True)
class View:
    """Where the eye is, where it looks, and how many pixels wide the picture is."""

    eye: Vector
    ahead: Vector
    side_px: int
    focal_px: float

    @property
    def right(self) -> Vector:
        """To the right, level."""
        return unit(cross(self.ahead, (0.0, 0.0, 1.0)))

    @property
    def up(self) -> Vector:
        """Upwards in the picture."""
        return cross(self.right, self.ahead)

    def project(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Column, row and depth."""
        dx, dy, dz = x - self.eye[0], y - self.eye[1], z - self.eye[2]
        depth = dx * self.ahead[0] + dy * self.ahead[1] + dz * self.ahead[2]
        safe = np.maximum(depth, np.float32(0.05))
        half, r, u = self.side_px / 2, self.right, self.up
        column = half + (dx * r[0] + dy * r[1] + dz * r[2]) / safe * self.focal_px
        row = half - (dx * u[0] + dy * u[1] + dz * u[2]) / safe * self.focal_px
        return column, row, depth


@dataclass(frozen=True)
class Lamp:
    """A torch that is on: light from a place into a direction."""

    place: Vector
    ahead: Vector
    rgb: Vector
    wide: float  # cosine of the cone's half angle


@dataclass(frozen=True)
class Stage:
    """What stands around: ground, wall, light."""

    ground: Painter  # of x and y
    wall: Painter  # of distance to the right, and of height
    wall_at: float  # distance behind the middle of the scene
    sun: Vector  # towards the main light
    sun_rgb: Vector
    sky_rgb: Vector  # light from everywhere
    softness: float  # of shadows on the ground, as a share of the thing's size
    lamps: tuple[Lamp, ...] = ()


@dataclass(frozen=True)
class Light:
    """What reaches the lens: light [h, w, 3] and depth [h, w]."""

    rgb: Floats
    depth: Floats


@dataclass(frozen=True)
class _Sampled:
    patch: Patch
    u: Floats  # [1, nu]
    v: Floats  # [nv, 1]


def look_at(patches: Sequence[Patch], direction: Vector, *, share: float, side_px: int, focal: float) -> View:
    """A view along `direction` in which these surfaces fill about `share` of the picture's width.

    `focal` is the focal length over the picture's width. What is slender may be longer than `share`, so that
    its area is not too far from that of other things.
    """
    x, y, z = (np.concatenate(part) for part in zip(*(some_points(patch) for patch in patches), strict=True))
    middle = tuple(round(float(part.min() + part.max()) / 2, 6) for part in (x, y, z))
    distance = 4.0
    for _ in range(3):
        eye = tuple(m - distance * d for m, d in zip(middle, direction, strict=True))
        view = View((eye[0], eye[1], eye[2]), direction, side_px, focal * side_px)
        column, row, _ = view.project(x, y, z)
        wide, high = float(np.ptp(column)), float(np.ptp(row))
        slender = math.sqrt(max(wide, high) * math.sqrt(wide * high))
        wanted = max(slender / share, max(wide, high) / 0.98)
        distance = round(max(1.6, distance * wanted / side_px), 6)
    return view


def some_points(patch: Patch) -> tuple[Floats, Floats, Floats]:
    """Some of the surface's points that are really there, in the world."""
    line = np.linspace(0.02, 0.98, COARSE, dtype=np.float32)
    u, v = np.meshgrid(line, line)
    x, y, z = patch.world(u, v)
    there = patch.cut(u, v) if patch.cut else np.ones(u.shape, bool)
    return x[there], y[there], z[there]


def _sample(patch: Patch, view: View) -> _Sampled:
    line = np.linspace(0, 1, COARSE, dtype=np.float32)
    column, row, _ = view.project(*patch.world(line[None, :], line[:, None]))
    column, row = np.broadcast_to(column, (COARSE, COARSE)), np.broadcast_to(row, (COARSE, COARSE))
    counts = []
    for axis in (1, 0):
        across, down = np.diff(column, axis=axis), np.diff(row, axis=axis)
        longest = math.sqrt(float((across * across + down * down).max()))
        counts.append(int(min(MOST, max(6, longest * (COARSE - 1) * DENSE))))
    nu, nv = counts
    u = (np.arange(nu, dtype=np.float32) + np.float32(0.5)) / np.float32(nu)
    v = (np.arange(nv, dtype=np.float32) + np.float32(0.5)) / np.float32(nv)
    return _Sampled(patch, u[None, :], v[:, None])


def light(patches: Sequence[Patch], view: View, stage: Stage) -> Light:
    """What the eye sees of these surfaces on this stage."""
    pixels = view.side_px**2
    nearest = np.full(pixels + 1, FAR, np.int64)
    shade = _Shade(stage)
    samples, first = [], [0]
    for patch in patches:
        sample = _sample(patch, view)
        x, y, z = patch.world(sample.u, sample.v)
        shape = (sample.v.size, sample.u.size)
        there = patch.cut(sample.u, sample.v) if patch.cut else np.True_
        column, row, depth = view.project(x, y, z)
        inside = (
            (column >= 0)
            & (column < view.side_px)
            & (row >= 0)
            & (row < view.side_px)
            & (depth > 0.1)
            & there
        )
        at = np.where(inside, row.astype(np.int64) * view.side_px + column.astype(np.int64), pixels)
        number = first[-1] + np.arange(shape[0] * shape[1], dtype=np.int64).reshape(shape)
        key = ((depth * np.float32(1 << 16)).astype(np.int64) << INDEX_BITS) | number
        np.minimum.at(nearest, at.ravel(), key.ravel())
        shade.add(x[::2, ::2], y[::2, ::2], z[::2, ::2], there if there is np.True_ else there[::2, ::2])
        samples.append(sample)
        first.append(first[-1] + shape[0] * shape[1])
    seen = nearest[:pixels]
    which = np.where(seen == FAR, -1, seen & ((1 << INDEX_BITS) - 1))
    return _lit(_surroundings(view, stage), samples, np.array(first), which, (view, stage, shade))


@dataclass(frozen=True)
class _Film:
    """What is known of each pixel [p]."""

    rgb: Floats
    normal: Floats
    place: Floats
    gloss: Floats
    metal: Floats
    glow: Floats
    shine: Ints
    depth: Floats


def _surroundings(view: View, stage: Stage) -> _Film:
    """Ground and wall, as if nothing stood there."""
    side = view.side_px
    line = (np.arange(side, dtype=np.float32) + np.float32(0.5) - np.float32(side / 2)) / np.float32(
        view.focal_px
    )
    across, down = (part.ravel() for part in np.meshgrid(line, line))
    ray = [a + across * r - down * u for a, r, u in zip(view.ahead, view.right, view.up, strict=True)]
    level = unit((view.ahead[0], view.ahead[1], 0.0))
    to_wall = stage.wall_at - dot(view.eye, level)
    wall = np.float32(to_wall) / np.maximum(ray[0] * level[0] + ray[1] * level[1], np.float32(1e-3))
    ground = np.float32(-view.eye[2]) / np.minimum(ray[2], np.float32(-1e-4))
    is_wall = wall < ground
    way = np.where(is_wall, wall, ground)
    place = np.stack([e + part * way for e, part in zip(view.eye, ray, strict=True)], 1)
    rgb, normal = np.empty_like(place), np.zeros_like(place)
    gloss = np.zeros(len(way), np.float32)
    for mask, painter in ((is_wall, stage.wall), (~is_wall, stage.ground)):
        at = np.flatnonzero(mask)
        if len(at):
            own = place[at]
            if mask is is_wall:
                paint = painter(own[:, 0] * view.right[0] + own[:, 1] * view.right[1], own[:, 2])
                normal[at] = np.float32([-level[0], -level[1], 0])
            else:
                paint = painter(own[:, 0], own[:, 1])
                normal[at, 2] = 1
            rgb[at], gloss[at] = paint.rgb, paint.gloss
    zero = np.zeros(len(way), np.float32)
    return _Film(rgb, normal, place, gloss, zero.copy(), zero.copy(), np.full(len(way), 3), way)


class _Shade:
    """What stands in the light: the points nearest to it, and what is close above the ground."""

    def __init__(self, stage: Stage) -> None:
        self.sun, self.softness = stage.sun, stage.softness
        self.right = unit(cross(self.sun, (0.0, 0.0, 1.0)))
        self.up = cross(self.right, self.sun)
        self.nearest = np.full(SHADOW_PX**2 + 1, -np.inf, np.float32)
        self.low = np.zeros(SHADOW_PX**2 + 1, np.uint8)

    def cells(self, a: Floats, b: Floats) -> Ints:
        """Which cell of the map each point falls in."""
        scale = np.float32(SHADOW_PX / (2 * REACH))
        i, j = (b + REACH) * scale, (a + REACH) * scale
        inside = (i >= 0) & (i < SHADOW_PX) & (j >= 0) & (j < SHADOW_PX)
        found: Ints = np.where(inside, i.astype(np.int64) * SHADOW_PX + j.astype(np.int64), SHADOW_PX**2)
        return found

    def seen_from_sun(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Right, up and towards the light."""
        found = [x * d[0] + y * d[1] + z * d[2] for d in (self.right, self.up, self.sun)]
        return found[0], found[1], found[2]

    def add(self, x: Floats, y: Floats, z: Floats, there: np.ndarray | np.bool_) -> None:  # type: ignore[type-arg]
        """These points stand in the light."""
        a, b, near = self.seen_from_sun(x, y, z)
        cells = np.where(there, self.cells(a, b), SHADOW_PX**2)
        np.maximum.at(self.nearest, cells.ravel(), np.broadcast_to(near, cells.shape).ravel())
        floor = np.where(there & (z < 0.25), self.cells(x + 0 * z, y + 0 * z), SHADOW_PX**2)
        self.low[floor.ravel()] = 255

    def on_ground(self, x: Floats, y: Floats) -> Floats:
        """Share of the main light [n] that reaches the ground there."""
        stands = np.where(np.isfinite(self.nearest[:-1]), 255, 0).astype(np.uint8)
        a, b, _ = self.seen_from_sun(x, y, np.zeros_like(x))
        found: Floats = 1 - _soft(stands, self.softness, a, b)
        return found

    def under(self, x: Floats, y: Floats) -> Floats:
        """How much [n] of the sky is hidden from the ground there by what stands on it."""
        wide, close = _soft(self.low[:-1], 0.16, x, y), _soft(self.low[:-1], 0.05, x, y)
        found: Floats = 0.45 * wide + 0.4 * close
        return found

    def on_things(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Share of the main light [n] that reaches points of things."""
        a, b, near = self.seen_from_sun(x, y, z)
        self.nearest[-1] = -np.inf
        total = np.zeros_like(near)
        cell = 2 * REACH / SHADOW_PX
        for da, db in ((0.8, 0.3), (-0.3, 0.8), (-0.8, -0.3), (0.3, -0.8)):
            hidden = self.nearest[self.cells(a + np.float32(da * cell), b + np.float32(db * cell))] - near
            total += step(hidden, BIAS, 2 * BIAS)
        return 1 - total * np.float32(0.25)


def _soft(mask: np.ndarray, softness: float, a: Floats, b: Floats) -> Floats:  # type: ignore[type-arg]
    """A blurred map of 0 and 255, read between its cells, 0 to 1."""
    picture = Image.fromarray(mask.reshape(SHADOW_PX, SHADOW_PX))
    blurred = picture.filter(ImageFilter.GaussianBlur(max(0.8, softness * SHADOW_PX / (2 * REACH))))
    table = np.asarray(blurred).astype(np.float32) * np.float32(1 / 255)
    scale = np.float32(SHADOW_PX / (2 * REACH))
    i = np.clip((b + REACH) * scale - np.float32(0.5), 0, SHADOW_PX - 1.01)
    j = np.clip((a + REACH) * scale - np.float32(0.5), 0, SHADOW_PX - 1.01)
    i0, j0 = i.astype(np.int64), j.astype(np.int64)
    s, t = i - i0, j - j0
    above = table[i0, j0] * (1 - t) + table[i0, j0 + 1] * t
    below = table[i0 + 1, j0] * (1 - t) + table[i0 + 1, j0 + 1] * t
    found: Floats = above * (1 - s) + below * s
    return found


def _lit(
    film: _Film, samples: list[_Sampled], first: Ints, which: Ints, around: tuple[View, Stage, _Shade]
) -> Light:
    view, stage, shade = around
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], first)
    for number, sample in enumerate(samples):
        at = order[bounds[number] : bounds[number + 1]]
        if len(at):
            _fill(film, sample, at, which[at] - first[number], view)
    things = np.flatnonzero(which >= 0)
    bare = np.flatnonzero(which < 0)
    sunny, open_sky = np.ones(len(which), np.float32), np.ones(len(which), np.float32)
    x, y, z = film.place.T
    sunny[bare] = shade.on_ground(x[bare], y[bare])
    floor = np.flatnonzero((which < 0) & (z < 0.01))
    open_sky[floor] = 1 - shade.under(x[floor], y[floor])
    sunny[things] = shade.on_things(x[things], y[things], z[things])
    nz = film.normal[things, 2]
    open_sky[things] = 0.35 + 0.65 * np.clip(0.55 + 0.45 * nz + 0.5 * np.clip(z[things], 0, 0.6), 0, 1)
    return _shine(film, view, stage, sunny, open_sky)


def _fill(film: _Film, sample: _Sampled, at: Ints, local: Ints, view: View) -> None:
    """Colour, normal and place of the pixels `at`, which see the points `local` of this surface."""
    patch, nu = sample.patch, sample.u.size
    u, v = sample.u[0, local % nu], sample.v[local // nu, 0]
    paint: Paint = patch.paint(u, v)
    place = patch.world(u, v)
    du = [a - b for a, b in zip(patch.world(u + np.float32(STEP), v), place, strict=True)]
    back = np.where(v > 0.5, np.float32(-STEP), np.float32(STEP))
    dv = [(a - b) * np.sign(back) for a, b in zip(patch.world(u, v + back), place, strict=True)]
    normal = np.stack(
        [du[1] * dv[2] - du[2] * dv[1], du[2] * dv[0] - du[0] * dv[2], du[0] * dv[1] - du[1] * dv[0]], 1
    )
    length = np.sqrt(normal[:, 0] ** 2 + normal[:, 1] ** 2 + normal[:, 2] ** 2)
    normal /= np.maximum(length, np.float32(1e-12))[:, None]
    away = [e - p for e, p in zip(view.eye, place, strict=True)]
    towards = normal[:, 0] * away[0] + normal[:, 1] * away[1] + normal[:, 2] * away[2]
    normal[towards < 0] *= -1
    film.normal[at], film.rgb[at], film.place[at] = normal, paint.rgb, np.stack(place, 1)
    film.gloss[at], film.metal[at], film.glow[at] = paint.gloss, paint.metal, paint.glow
    film.shine[at] = patch.shine
    film.depth[at] = -sum(a * d for a, d in zip(away, view.ahead, strict=True))


def _shine(film: _Film, view: View, stage: Stage, sunny: Floats, open_sky: Floats) -> Light:
    """All light that comes from each pixel's surface to the eye."""
    n, sun = [film.normal[:, axis] for axis in range(3)], stage.sun
    away = [e - film.place[:, axis] for axis, e in enumerate(view.eye)]
    length = np.sqrt(away[0] * away[0] + away[1] * away[1] + away[2] * away[2])
    eye = [part / length for part in away]
    facing = np.maximum(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2], 0)
    lit = np.maximum(n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2], 0) * sunny
    half = [e + s for e, s in zip(eye, sun, strict=True)]
    width = np.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
    spot = np.maximum(n[0] * half[0] + n[1] * half[1] + n[2] * half[2], 0) / np.maximum(
        width, np.float32(1e-6)
    )
    for times in range(int(film.shine.max())):
        spot = np.where(film.shine > times, spot * spot, spot)
    spot = spot * film.gloss * sunny * (lit > 0) * 1.6
    edge = 1 - facing
    edge = edge * edge * edge * film.gloss * 0.35 * open_sky
    mirrored = _mirrored(film, eye, facing, stage, sunny) * (0.35 + 0.65 * open_sky)
    own = film.rgb * film.rgb  # from the screen's scale to light
    rgb = np.empty_like(own)
    for axis in range(3):
        falls = stage.sun_rgb[axis] * lit + stage.sky_rgb[axis] * open_sky * (0.6 + 0.4 * n[2])
        for lamp in stage.lamps:
            falls = falls + lamp.rgb[axis] * _from_lamp(film, lamp, n)
        matt = own[:, axis] * falls * (1 - film.metal)
        bright = own[:, axis] * film.metal * mirrored + (
            spot * stage.sun_rgb[axis] + edge * stage.sky_rgb[axis]
        )
        rgb[:, axis] = matt + bright + own[:, axis] * film.glow
    side = view.side_px
    return Light(rgb.reshape(side, side, 3), film.depth.reshape(side, side))


def _mirrored(film: _Film, eye: list[Floats], facing: Floats, stage: Stage, sunny: Floats) -> Floats:
    """How bright the room is where a mirror would look: dark below, bright above, a window by the light."""
    r = [2 * facing * film.normal[:, axis] - eye[axis] for axis in range(3)]
    to_sun = r[0] * stage.sun[0] + r[1] * stage.sun[1] + r[2] * stage.sun[2]
    side = r[0] * stage.sun[1] - r[1] * stage.sun[0]
    room = 0.16 + 0.75 * step(r[2], -0.15, 0.75) + 0.25 * step(r[2], -0.2, -0.9)
    room = room + 0.55 * step(side, 0.55, 0.75) * step(r[2], -0.1, 0.1) - 0.3 * step(side, -0.5, -0.8)
    room = room * (0.75 + 0.5 * noise(r[0] * 0.2 + 0.3, r[2] * 0.2))
    found: Floats = np.maximum(room, 0.03) + 2.2 * step(to_sun, 0.8, 0.93) * (0.3 + 0.7 * sunny)
    return found


def _from_lamp(film: _Film, lamp: Lamp, n: list[Floats]) -> Floats:
    """Light [p] from a torch, brightest in the middle of its cone."""
    d = [film.place[:, axis] - at for axis, at in enumerate(lamp.place)]
    far = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    length = np.sqrt(np.maximum(far, np.float32(1e-6)))
    along = (d[0] * lamp.ahead[0] + d[1] * lamp.ahead[1] + d[2] * lamp.ahead[2]) / length
    meets = np.maximum(-(n[0] * d[0] + n[1] * d[1] + n[2] * d[2]) / length, 0) * 0.7 + 0.3
    found: Floats = step(along, lamp.wide, lamp.wide + 0.5 * (1 - lamp.wide)) * meets / (0.25 + far)
    return found
