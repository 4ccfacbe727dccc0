"""Marks that are printed on things: letters and digits, the four suits, pips."""

from functools import cache

import numpy as np

from headstart.data.render.maths import Floats, step

GLYPHS = {  # five columns, seven rows
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01110 10001 10000 10000 10000 10001 01110",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "J": "00111 00010 00010 00010 00010 10010 01100",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 11001 10101 10011 10011 10001",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "Q": "01110 10001 10001 10001 10101 10010 01101",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "W": "10001 10001 10001 10101 10101 10101 01010",
    "X": "10001 10001 01010 00100 01010 10001 10001",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
}
LETTERS = "ABCDEFHJKMNPQRSTWXZ"
DIGITS = "0123456789"


@cache
def _cells(glyph: str) -> Floats:
    """The glyph with an empty border, [9, 7]."""
    rows = [[float(cell) for cell in row] for row in GLYPHS[glyph].split()]
    return np.pad(np.array(rows, np.float32), 1)


def letter(glyph: str, x: Floats, y: Floats) -> Floats:
    """Ink, 0 to 1, of a glyph that fills the square from -1 to 1; y goes up. Its edges are smoothed."""
    cells = _cells(glyph)
    column = np.clip((x * np.float32(0.78) + 1) * 2.5 + 0.5, 0, 5.999)
    row = np.clip((1 - y) * 3.5 + 0.5, 0, 7.999)
    s, t = row - np.floor(row), column - np.floor(column)
    i, j = row.astype(np.int32), column.astype(np.int32)
    above = cells[i, j] * (1 - t) + cells[i, j + 1] * t
    below = cells[i + 1, j] * (1 - t) + cells[i + 1, j + 1] * t
    inside = (np.abs(x) < 1.28) & (np.abs(y) < 1.14)
    found: Floats = step(above * (1 - s) + below * s, 0.38, 0.56) * inside
    return found


def suit(name: str, x: Floats, y: Floats) -> Floats:
    """Ink, 0 to 1, of heart, diamond, club or spade in the square from -1 to 1; y goes up."""
    x = np.abs(x)
    if name == "diamond":
        return step(x * 1.3 + np.abs(y), 1.0, 0.92)
    if name == "club":
        return np.maximum(_stem(x, y), np.maximum(_disc(x, y - 0.45, 0.42), _disc(x - 0.45, y + 0.15, 0.42)))
    if name == "spade":
        return np.maximum(_stem(x, y), _heart(x, -(y + 0.05) * 0.95))
    return _heart(x, y)


def _heart(x: Floats, y: Floats) -> Floats:
    lobe = _disc(x - 0.42, y - 0.35, 0.45)
    point = (
        step(x * 1.02 + np.abs(np.minimum(y - 0.1, 0)) * 0.95, 0.88, 0.82)
        * step(y, 0.36, 0.3)
        * step(y, -0.95, -0.9)
    )
    found: Floats = np.maximum(lobe, point)
    return found


def _stem(x: Floats, y: Floats) -> Floats:
    return step(x - (np.maximum(-0.3 - y, 0)) * 0.45, 0.1, 0.06) * step(y, -0.95, -0.9) * step(y, 0.05, 0.0)


def _disc(x: Floats, y: Floats, radius: float) -> Floats:
    return step(x * x + y * y, radius * radius * 1.08, radius * radius * 0.94)


PIPS = {
    1: ((0.0, 0.0),),
    2: ((-0.5, -0.5), (0.5, 0.5)),
    3: ((-0.55, -0.55), (0.0, 0.0), (0.55, 0.55)),
    4: ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)),
    5: ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5), (0.0, 0.0)),
    6: ((-0.5, -0.6), (-0.5, 0.0), (-0.5, 0.6), (0.5, -0.6), (0.5, 0.0), (0.5, 0.6)),
}


def pips(count: int, x: Floats, y: Floats, radius: float) -> Floats:
    """Ink, 0 to 1, of the spots of a die's face in the square from -1 to 1."""
    found = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    for px, py in PIPS[count]:
        found = np.maximum(found, _disc(x - px, y - py, radius))
    return found
