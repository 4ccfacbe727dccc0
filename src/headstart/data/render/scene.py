"""From surfaces to light: which point each pixel sees, and how bright it is there.

Pixels are found by a buffer of depths (Catmull 1974); shadows on things by the same from the light's place
(Williams 1978), on the ground by what stands between it and the light, blurred; highlights after Blinn 1977.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from headstart.data.render.maths import Floats, Vector, cross, dot, noise, step, unit
from headstart.data.render.patch import Paint, Painter, Patch, Points
from headstart.values import Ints

COARSE = 13  # samples each way that tell how large a surface is in the picture
_LINE = np.linspace(0, 1, COARSE, dtype=np.float32)
_INNER = tuple(part.ravel() for part in np.meshgrid(*[np.linspace(0.02, 0.98, COARSE, dtype=np.float32)] * 2))
DENSE = 1.1  # points per pixel each way
MOST = 640  # points each way
INDEX_BITS = 24
FAR = np.iinfo(np.int64).max
SHADOW_PX = 176
REACH = 3.0  # half width of what is looked at for shadows; a thing's largest side is about 2
STEP = 1 / 400  # of u and v, for normals
BIAS = 0.05
LEAST_SPOT = 0.55  # its eighth power, the widest highlight, is below 1/100


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


def look_at(points: Points, direction: Vector, *, share: float, side_px: int, focal: float) -> View:
    """A view along `direction` in which these points fill about `share` of the picture's width.

    `focal` is the focal length over the picture's width. What is slender may be longer than `share`, so that
    its area is not too far from that of other things.
    """
    middle = [round(float(part.min() + part.max()) / 2, 6) for part in points]
    distance = 4.0
    for _ in range(3):
        eye = [m - distance * d for m, d in zip(middle, direction, strict=True)]
        view = View((eye[0], eye[1], eye[2]), direction, side_px, focal * side_px)
        column, row, _ = view.project(*points)
        wide, high = float(np.ptp(column)), float(np.ptp(row))
        slender = math.sqrt(max(wide, high) * math.sqrt(wide * high))
        wanted = max(slender / share, max(wide, high) / 0.98)
        distance = round(max(1.6, distance * wanted / side_px), 6)
    return view


def some_points(patches: Sequence[Patch]) -> Points:
    """Some of the points of these surfaces that are really there, in the world."""
    found = []
    for patch in patches:
        points = patch.world(*_INNER)
        there = patch.cut(*_INNER) if patch.cut else slice(None)
        found.append([part[there].ravel() for part in points])
    x, y, z = (np.concatenate(part) for part in zip(*found, strict=True))
    return x, y, z


def _sample(patch: Patch, view: View) -> _Sampled:
    column, row, _ = view.project(*patch.world(_LINE[None, :], _LINE[:, None]))
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
        there = patch.cut(sample.u, sample.v) if patch.cut else np.ones((1, 1), bool)
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
        shade.add(x[::2, ::2], y[::2, ::2], z[::2, ::2], there[::2, ::2])
        samples.append(sample)
        first.append(first[-1] + shape[0] * shape[1])
    seen = nearest[:pixels]
    which = np.where(seen == FAR, -1, seen & ((1 << INDEX_BITS) - 1))
    return _lit(_surroundings(view, stage, shade), samples, np.array(first), which, (view, stage, shade))


@dataclass(frozen=True)
class _Film:
    """What is known of each pixel [p]; vectors are [3, p]."""

    rgb: Floats
    normal: Floats
    place: Floats
    gloss: Floats
    metal: Floats
    glow: Floats
    shine: Ints
    depth: Floats
    sunny: Floats  # share of the main light that comes there
    open_sky: Floats  # share of the light from everywhere


def _surroundings(view: View, stage: Stage, shade: "_Shade") -> _Film:
    """Ground and wall, as if nothing stood before them, with the shadows on them."""
    side = view.side_px
    line = np.arange(side, dtype=np.float32) + np.float32(0.5)
    across, down = (part.ravel() for part in np.meshgrid(line, line))
    way, place, is_wall, level = _hit(across, down, view, stage)
    rgb, normal = np.empty_like(place), np.zeros_like(place)
    gloss = np.zeros(len(way), np.float32)
    walls = int(np.count_nonzero(is_wall))  # the eye is level: they are the first rows
    if walls:
        x, y, z = place[:, :walls]
        paint = stage.wall(x * view.right[0] + y * view.right[1], z)
        rgb[:, :walls], gloss[:walls] = paint.rgb.T, paint.gloss
        normal[0, :walls], normal[1, :walls] = -level[0], -level[1]
    if walls < len(way):
        paint = stage.ground(place[0, walls:], place[1, walls:])
        rgb[:, walls:], gloss[walls:] = paint.rgb.T, paint.gloss
        normal[2, walls:] = 1
    half = np.arange(0, side, 2, dtype=np.float32) + 1
    across, down = (part.ravel() for part in np.meshgrid(half, half))
    _, (x, y, z), _, _ = _hit(across, down, view, stage)
    sunny = shade.on_ground(x, y, z)
    open_sky = 1 - shade.under(x, y) * (z < 0.01)
    none = np.zeros(len(way), np.float32)
    return _Film(
        rgb=rgb,
        normal=normal,
        place=place,
        gloss=gloss,
        metal=none.copy(),
        glow=none.copy(),
        shine=np.full(len(way), 3),
        depth=way,
        sunny=_twice(sunny, side),
        open_sky=_twice(open_sky, side),
    )


def _hit(across: Floats, down: Floats, view: View, stage: Stage) -> tuple[Floats, Floats, Floats, Vector]:
    """Where rays through these places of the picture meet ground or wall.

    Depth, place [3, p], whether it is the wall, and which way is straight ahead on the ground.
    """
    a = (across - np.float32(view.side_px / 2)) * np.float32(1 / view.focal_px)
    b = (down - np.float32(view.side_px / 2)) * np.float32(1 / view.focal_px)
    ray = [d + a * r - b * u for d, r, u in zip(view.ahead, view.right, view.up, strict=True)]
    level = unit((view.ahead[0], view.ahead[1], 0.0))
    to_wall = stage.wall_at - dot(view.eye, level)
    wall = np.float32(to_wall) / np.maximum(ray[0] * level[0] + ray[1] * level[1], np.float32(1e-3))
    ground = np.float32(-view.eye[2]) / np.minimum(ray[2], np.float32(-1e-4))
    is_wall = wall < ground
    way = np.where(is_wall, wall, ground)
    return way, np.stack([e + part * way for e, part in zip(view.eye, ray, strict=True)]), is_wall, level


def _twice(values: Floats, side: int) -> Floats:
    """Values 0 to 1 of a picture of half the width, twice as wide."""
    half = -(-side // 2)
    small = Image.fromarray((values.reshape(half, half) * np.float32(255)).astype(np.uint8))
    large = np.asarray(small.resize((side, side), Image.Resampling.BILINEAR)).ravel()
    found: Floats = large.astype(np.float32) * np.float32(1 / 255)
    return found


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
        found: Ints = np.where(inside, i.astype(np.int32) * SHADOW_PX + j.astype(np.int32), SHADOW_PX**2)
        return found

    def seen_from_sun(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Right, up and towards the light."""
        found = [x * d[0] + y * d[1] + z * d[2] for d in (self.right, self.up, self.sun)]
        return found[0], found[1], found[2]

    def add(self, x: Floats, y: Floats, z: Floats, there: np.ndarray | np.bool_) -> None:
        """These points stand in the light."""
        a, b, near = self.seen_from_sun(x, y, z)
        cells = np.where(there, self.cells(a, b), SHADOW_PX**2)
        np.maximum.at(self.nearest, cells.ravel(), np.broadcast_to(near, cells.shape).ravel())
        floor = np.where(there & (z < 0.25), self.cells(x + 0 * z, y + 0 * z), SHADOW_PX**2)
        self.low[floor.ravel()] = 255

    def on_ground(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Share of the main light [n] that reaches ground or wall there."""
        stands = np.where(np.isfinite(self.nearest[:-1]), 255, 0).astype(np.uint8)
        a, b, _ = self.seen_from_sun(x, y, z)
        found: Floats = 1 - _soft(stands, self.softness, a, b)
        return found

    def under(self, x: Floats, y: Floats) -> Floats:
        """How much [n] of the sky is hidden from the ground there by what stands on it."""
        found: Floats = 0.75 * _soft(self.low[:-1], 0.09, x, y)
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


def _soft(mask: np.ndarray, softness: float, a: Floats, b: Floats) -> Floats:
    """A blurred map of 0 and 255, read between its cells, 0 to 1."""
    picture = Image.fromarray(mask.reshape(SHADOW_PX, SHADOW_PX))
    blurred = picture.filter(ImageFilter.GaussianBlur(max(0.8, softness * SHADOW_PX / (2 * REACH))))
    table = np.asarray(blurred).astype(np.float32) * np.float32(1 / 255)
    scale = np.float32(SHADOW_PX / (2 * REACH))
    i = np.clip((b + REACH) * scale - np.float32(0.5), 0, SHADOW_PX - 1.01)
    j = np.clip((a + REACH) * scale - np.float32(0.5), 0, SHADOW_PX - 1.01)
    s, t = i - np.floor(i), j - np.floor(j)
    i0, j0 = i.astype(np.int32), j.astype(np.int32)
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
    x, y, z = film.place[:, things]
    film.sunny[things] = shade.on_things(x, y, z)
    above = 0.55 + 0.45 * film.normal[2, things] + 0.5 * np.clip(z, 0, 0.6)
    film.open_sky[things] = 0.35 + 0.65 * np.clip(above, 0, 1)
    return _shine(film, view, stage)


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
        [du[1] * dv[2] - du[2] * dv[1], du[2] * dv[0] - du[0] * dv[2], du[0] * dv[1] - du[1] * dv[0]]
    )
    length = np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
    away = [e - p for e, p in zip(view.eye, place, strict=True)]
    towards = normal[0] * away[0] + normal[1] * away[1] + normal[2] * away[2]
    normal *= np.copysign(1 / np.maximum(length, np.float32(1e-12)), towards)
    film.normal[:, at], film.rgb[:, at], film.place[:, at] = normal, paint.rgb.T, np.stack(place)
    film.gloss[at], film.metal[at], film.glow[at] = paint.gloss, paint.metal, paint.glow
    film.shine[at] = patch.shine
    film.depth[at] = -sum(a * d for a, d in zip(away, view.ahead, strict=True))


def _shine(film: _Film, view: View, stage: Stage) -> Light:
    """All light that comes from each pixel's surface to the eye."""
    n, sun = film.normal, stage.sun
    away = [e - place for e, place in zip(view.eye, film.place, strict=True)]
    length = 1 / np.sqrt(away[0] * away[0] + away[1] * away[1] + away[2] * away[2])
    eye = [part * length for part in away]
    facing = np.maximum(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2], 0)
    lit = np.maximum(n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2], 0) * film.sunny
    matt = 1 - film.metal
    diffuse = lit * matt
    around = film.open_sky * (0.6 + 0.4 * n[2]) * matt
    lamps = [(lamp, _from_lamp(film, lamp) * matt) for lamp in stage.lamps]
    glossy = np.flatnonzero(film.gloss > 0)
    spot, edge = _highlights(film, glossy, [part[glossy] for part in eye], sun)
    metal = np.flatnonzero(film.metal > 0)
    mirrored = film.glow.copy()
    mirrored[metal] += film.metal[metal] * _mirrored(film, metal, [part[metal] for part in eye], facing, sun)
    rgb = np.empty((len(lit), 3), np.float32)
    for axis in range(3):
        falls = stage.sun_rgb[axis] * diffuse + stage.sky_rgb[axis] * around + mirrored
        for lamp, share in lamps:
            falls += lamp.rgb[axis] * share
        light = film.rgb[axis] * film.rgb[axis] * falls  # squared: from the screen's scale to light
        light[glossy] += spot * stage.sun_rgb[axis] + edge * stage.sky_rgb[axis]
        rgb[:, axis] = light
    side = view.side_px
    return Light(rgb.reshape(side, side, 3), film.depth.reshape(side, side))


def _highlights(film: _Film, at: Ints, eye: list[Floats], sun: Vector) -> tuple[Floats, Floats]:
    """What the pixels `at` throw back of the main light, and of the light from everywhere at their edges."""
    n = film.normal[:, at]
    half = [e + s for e, s in zip(eye, sun, strict=True)]
    width = np.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
    spot = np.maximum(n[0] * half[0] + n[1] * half[1] + n[2] * half[2], 0) / np.maximum(
        width, np.float32(1e-6)
    )
    bright = np.flatnonzero(spot > LEAST_SPOT)
    shine, small = film.shine[at[bright]], spot[bright]
    for times in range(int(shine.max(initial=0))):
        small = np.where(shine > times, small * small, small)
    spot = np.zeros_like(spot)
    spot[bright] = small
    edge = 1 - np.maximum(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2], 0)
    gloss = film.gloss[at]
    lit = film.sunny[at] * (n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2] > 0)
    return spot * gloss * lit * 1.6, edge * edge * edge * gloss * 0.35 * film.open_sky[at]


def _mirrored(film: _Film, at: Ints, eye: list[Floats], facing: Floats, sun: Vector) -> Floats:
    """How bright the room is where a mirror would look: dark below, bright above, a window by the light."""
    twice = 2 * facing[at]
    r = [twice * film.normal[axis, at] - eye[axis] for axis in range(3)]
    to_sun = r[0] * sun[0] + r[1] * sun[1] + r[2] * sun[2]
    side = r[0] * sun[1] - r[1] * sun[0]
    room = 0.16 + 0.75 * step(r[2], -0.15, 0.75) + 0.25 * step(r[2], -0.2, -0.9)
    room = room + 0.55 * step(side, 0.55, 0.75) * step(r[2], -0.1, 0.1) - 0.3 * step(side, -0.5, -0.8)
    room = room * (0.75 + 0.5 * noise(r[0] * 0.2 + 0.3, r[2] * 0.2))
    window = 2.2 * step(to_sun, 0.8, 0.93) * (0.3 + 0.7 * film.sunny[at])
    found: Floats = (np.maximum(room, 0.03) + window) * (0.35 + 0.65 * film.open_sky[at])
    return found


def _from_lamp(film: _Film, lamp: Lamp) -> Floats:
    """Light [p] from a torch, brightest in the middle of its cone."""
    n, d = film.normal, [place - at for place, at in zip(film.place, lamp.place, strict=True)]
    far = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    length = 1 / np.sqrt(np.maximum(far, np.float32(1e-6)))
    along = (d[0] * lamp.ahead[0] + d[1] * lamp.ahead[1] + d[2] * lamp.ahead[2]) * length
    meets = np.maximum(-(n[0] * d[0] + n[1] * d[1] + n[2] * d[2]) * length, 0) * 0.7 + 0.3
    found: Floats = step(along, lamp.wide, lamp.wide + 0.5 * (1 - lamp.wide)) * meets / (0.25 + far)
    return found
