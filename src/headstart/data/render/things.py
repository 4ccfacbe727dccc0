"""A picture of a thing: the thing, what lies about, a place, light and a camera, all drawn by one seed."""

from collections.abc import Callable, Sequence

import numpy as np

from headstart.data.render import lens, scene
from headstart.data.render.cards import card
from headstart.data.render.clutter import clutter, placed, surface
from headstart.data.render.cubes import cube
from headstart.data.render.hats import hat
from headstart.data.render.maths import Vector, aim, chance, hue, pick, unit
from headstart.data.render.patch import Patch, Points, Pose, moved, scaled, turned
from headstart.data.render.screws import screw
from headstart.data.render.torches import Beam, torch
from headstart.values import Bytes

Maker = Callable[[np.random.Generator], tuple[list[Patch], list[Beam]]]
FINER = 1.25  # pixels rendered for each one that is shown


def _dark(make: Callable[[np.random.Generator], list[Patch]]) -> Maker:
    return lambda rng: (make(rng), [])


THINGS: dict[str, Maker] = {
    "Card": _dark(card),
    "Cube": _dark(cube),
    "Hat": _dark(hat),
    "Screw": _dark(screw),
    "Torch": torch,
}


def draw(name: str, seed: Sequence[int], side_px: int) -> Bytes:
    """A picture [side, side, 3] of the thing called `name`; the same seed gives the same picture.

    What does not belong to the thing (place, light, camera, clutter, noise) is drawn from its own numbers, in
    the same way for all things.
    """
    own, around = (np.random.default_rng([*seed, part]) for part in range(2))
    patches, beams = THINGS[name](own)
    raw = scene.some_points(patches)
    fitted = _fitted(raw).then(turned("z", around.random()))
    thing, points = [patch.after(fitted) for patch in patches], fitted(*raw)
    view, direction = _camera(points, around, side_px)
    others = _others(points, around, direction)
    stage = _stage(around, tuple(_lamp(beam, fitted) for beam in beams))
    seen = scene.light([*thing, *others], view, stage)
    _, _, depths = view.project(*points)
    focus = round(float(depths.min() + depths.max()) / 2, 6)
    return lens.picture(seen, focus, _lens(around, side_px))


def _fitted(points: Points) -> Pose:
    """The pose that brings a thing to the middle, on the ground, 2 across."""
    low, high = [float(part.min()) for part in points], [float(part.max()) for part in points]
    size = max(b - a for a, b in zip(low, high, strict=True))
    floor = 0.0 if low[2] < -0.3 * size else low[2]  # driven into the ground: it stays there
    middle = moved(round(-(low[0] + high[0]) / 2, 6), round(-(low[1] + high[1]) / 2, 6), round(-floor, 6))
    return middle.then(scaled(round(2 / size, 6)))


def _camera(points: Points, rng: np.random.Generator, side_px: int) -> tuple[scene.View, Vector]:
    c, s = aim(rng.random())
    down = rng.uniform(0.25, 1.5) if chance(rng, 0.85) else rng.uniform(1.5, 4.0)
    direction = unit((c, s, -down))
    focal = rng.uniform(0.9, 1.7)
    share = rng.uniform(0.42, 0.86)
    view = scene.look_at(points, direction, share=share, side_px=round(side_px * FINER), focal=focal)
    room = (1 - share) * (0.3 if chance(rng, 0.85) else 0.6) / focal
    right, up = view.right, view.up
    a, b = rng.uniform(-room, room), rng.uniform(-room, room)
    ahead = unit(tuple(d + a * r + b * q for d, r, q in zip(view.ahead, right, up, strict=True)))  # type: ignore[arg-type]
    return scene.View(view.eye, ahead, view.side_px, view.focal_px), direction


def _others(points: Points, rng: np.random.Generator, direction: Vector) -> list[Patch]:
    """None to four small things, where the thing leaves room; now and then one in front of it."""
    x, y, _ = points
    found: list[Patch] = []
    taken: list[tuple[float, float, float]] = []
    for _ in range(pick(rng, (0, 0, 1, 2, 2, 3, 4, 5))):
        parts, size = clutter(rng), rng.uniform(0.3, 0.9)
        for _ in range(8):
            cx, cy = rng.uniform(-1.9, 1.9), rng.uniform(-1.9, 1.9)
            if chance(rng, 0.3):  # towards the eye
                cx, cy = -direction[0] * rng.uniform(0.9, 1.5), -direction[1] * rng.uniform(0.9, 1.5)
            near = float(((x - cx) ** 2 + (y - cy) ** 2).min())
            clear = all((a - cx) ** 2 + (b - cy) ** 2 > (0.6 * (r + size)) ** 2 for a, b, r in taken)
            if near > (0.55 * size) ** 2 and clear:
                found += placed(parts, rng, size, cx, cy)
                taken.append((cx, cy, size))
                break
    return found


def _stage(rng: np.random.Generator, lamps: tuple[scene.Lamp, ...]) -> scene.Stage:
    c, s = aim(rng.random())
    sun = unit((c, s, rng.uniform(0.5, 2.2)))
    warm = rng.uniform(-0.12, 0.16)
    strong, sky = rng.uniform(0.5, 1.5), rng.uniform(0.35, 0.75)
    dim = 0.45 if lamps else 1.0
    return scene.Stage(
        ground=surface(rng),
        wall=surface(rng),
        wall_at=rng.uniform(1.8, 6.0),
        sun=sun,
        sun_rgb=(strong * dim * (1 + warm), strong * dim, strong * dim * (1 - warm)),
        sky_rgb=(sky * dim * (1 - warm / 2), sky * dim, sky * dim * (1 + warm / 2)),
        softness=rng.uniform(0.02, 0.22),
        lamps=lamps,
    )


def _lamp(beam: Beam, pose: Pose) -> scene.Lamp:
    place, ahead, rgb, wide = beam
    turn = Pose(pose.rows)
    return scene.Lamp(pose.point(place), unit(turn.point(ahead)), rgb, wide)


def _lens(rng: np.random.Generator, side_px: int) -> lens.Lens:
    cast = hue(rng.random(), rng.uniform(0.0, 0.12), 1.0)
    return lens.Lens(
        side_px=side_px,
        exposure=rng.uniform(0.3, 0.6),
        cast=cast,
        aperture=rng.uniform(1.5, 6.0) if chance(rng, 0.5) else 0.0,
        shake=int(rng.integers(1, 7)) if chance(rng, 0.2) else 0,
        vignette=rng.uniform(0.0, 0.25),
        noise=rng.uniform(0.004, 0.05),
        seed=int(rng.integers(1 << 30)),
    )
