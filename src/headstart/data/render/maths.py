"""Arithmetic that gives the same bits everywhere: sines, noise, smooth steps, rotations, colours."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from headstart.values import Ints

CLOUDS_PX, NOISE_PX = 1024, 512
Floats = NDArray[Any]  # float32, always; type hints lose that where plain numbers are mixed in
Vector = tuple[float, float, float]
Item = TypeVar("Item")


def sine(turns: Floats) -> Floats:
    """Sine of an angle in whole turns, to 4e-6: a polynomial, so that it is the same on every machine."""
    x = turns - np.floor(turns + np.float32(0.5))
    x = np.where(np.abs(x) > 0.25, np.copysign(np.float32(0.5), x) - x, x) * np.float32(2 * math.pi)
    y = x * x
    found: Floats = x * (1 - y * (1 / 6 - y * (1 / 120 - y * (1 / 5040 - y * (1 / 362880)))))
    return found


def cosine(turns: Floats) -> Floats:
    """Cosine of an angle in whole turns."""
    return sine(turns + np.float32(0.25))


def step(x: Floats, low: float, high: float) -> Floats:
    """From 0 where `x` is `low` to 1 where it is `high`, smoothly; `low` may be above `high`."""
    t = np.clip((x - low) * (1 / (high - low)), 0, 1)
    found: Floats = t * t * (3 - 2 * t)
    return found


def wave(x: Floats) -> Floats:
    """A triangle wave of period 1, from 0 at whole numbers to 1 between them."""
    found: Floats = 1 - np.abs(2 * (x - np.floor(x)) - 1)
    return found


def mix(low: Floats | Vector, high: Floats | Vector, share: Floats) -> Floats:
    """Colours [n, 3]: `share` [n] of `high`, the rest of `low`."""
    a, b = np.asarray(low, np.float32), np.asarray(high, np.float32)
    found: Floats = a + (b - a) * share[..., None]
    return found


def tinted(rgb: Vector, light: Floats) -> Floats:
    """Colours [..., 3]: this one, darker or brighter."""
    found: Floats = np.asarray(rgb, np.float32) * light[..., None]
    return found


@cache
def _bank() -> Ints:
    """Cloudy noise that can be laid side by side, [1024 * 1024] from 0 to 65535: six octaves."""
    rng = np.random.default_rng(20_260_101)
    total = np.zeros((CLOUDS_PX, CLOUDS_PX), np.float32)
    for octave in range(6):
        cells = 8 << octave
        grid = rng.random((cells, cells), dtype=np.float32)
        at = np.arange(CLOUDS_PX, dtype=np.float32) * np.float32(cells / CLOUDS_PX)
        low = np.floor(at).astype(np.int64)
        t = at - np.floor(at)
        t = t * t * (3 - 2 * t)
        rows = grid[low] * (1 - t)[:, None] + grid[(low + 1) % cells] * t[:, None]
        both = rows[:, low] * (1 - t) + rows[:, (low + 1) % cells] * t
        total += both * np.float32(0.56**octave)
    total -= total.min()
    found: Ints = (total * np.float32(65535) / total.max()).astype(np.uint16).ravel()
    return found


def noise(x: Floats, y: Floats) -> Floats:
    """Cloudy noise at these places, 0 to 1; it repeats with period 1, its coarsest clouds are 1/8 wide."""
    j = np.floor(x * np.float32(CLOUDS_PX)).astype(np.int32) & (CLOUDS_PX - 1)
    i = np.floor(y * np.float32(CLOUDS_PX)).astype(np.int32) & (CLOUDS_PX - 1)
    found: Floats = _bank().take(i * CLOUDS_PX + j).astype(np.float32) * np.float32(1 / 65535)
    return found


def grain(x: Floats, y: Floats) -> Floats:
    """Noise without clouds, -1 to 1, a new value each 1/512."""
    i = np.floor(y * np.float32(NOISE_PX)).astype(np.int32) & (NOISE_PX - 1)
    j = np.floor(x * np.float32(NOISE_PX)).astype(np.int32) & (NOISE_PX - 1)
    found: Floats = _salt()[i, j]
    return found


@cache
def _salt() -> Floats:
    rng = np.random.default_rng(20_260_102)
    drawn = [rng.random((NOISE_PX, NOISE_PX), dtype=np.float32) for _ in range(3)]
    return (drawn[0] + drawn[1] + drawn[2]) * np.float32(2 / 3) - 1


def pick(rng: np.random.Generator, choices: Sequence[Item]) -> Item:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


def chance(rng: np.random.Generator, share: float) -> bool:
    """True in this share of cases."""
    return rng.random() < share


def hue(turns: float, strength: float, brightness: float) -> Vector:
    """A colour as red, green and blue, 0 to 1, as the screen shows it."""
    found = []
    for third in (0.0, 1 / 3, 2 / 3):
        away = abs((turns - third + 0.5) % 1.0 - 0.5)
        pure = min(1.0, max(0.0, 2.0 - 6.0 * away))
        found.append(brightness * (1 - strength + strength * pure))
    return found[0], found[1], found[2]


def colour(rng: np.random.Generator) -> Vector:
    """What things may be painted: full colours, pale ones, greys, wood and leather browns."""
    kind = rng.random()
    if kind < 0.5:
        return hue(rng.random(), rng.uniform(0.55, 0.95), rng.uniform(0.35, 0.95))
    if kind < 0.65:
        return hue(rng.random(), rng.uniform(0.1, 0.35), rng.uniform(0.6, 0.95))
    if kind < 0.85:
        return hue(rng.uniform(0.04, 0.12), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.8))
    return hue(rng.random(), 0.06, rng.uniform(0.12, 0.9))


def dot(a: Vector, b: Vector) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def unit(a: Vector) -> Vector:
    """Of length 1, rounded so that no library's last bit shows."""
    length = math.sqrt(dot(a, a))
    return round(a[0] / length, 9), round(a[1] / length, 9), round(a[2] / length, 9)


def aim(turns: float) -> tuple[float, float]:
    """Cosine and sine of an angle in turns, rounded so that no library's last bit shows."""
    return round(math.cos(2 * math.pi * turns), 9), round(math.sin(2 * math.pi * turns), 9)
