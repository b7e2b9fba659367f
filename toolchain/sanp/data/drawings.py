"""Eight ways to draw a label from 0 to 9: the drawings of MixCues.

Every painter takes labels int [N], uniform random numbers float32 [N, DRAWS] and the pixel grid, and returns an RGB
layer, float32 [N, 3, S, S], with values in about [-1, 1] around a background of 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS = 40
Painter = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    return axis[None, None, :], axis[None, :, None]


def _col(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None]


def _soft(distance: np.ndarray, size: int) -> np.ndarray:
    """Coverage of a shape from its signed distance (negative inside), one pixel of anti-aliasing."""
    return np.clip(0.5 - distance * size / 2, 0, 1)


def _gray(layer: np.ndarray) -> np.ndarray:
    return np.repeat(layer[:, None].astype(np.float32), 3, axis=1)


def _placed(u: np.ndarray, size: int, reach: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in each sample's own frame: shift up to reach, rotation up to turn radians, scale 0.8 to 1.1."""
    x, y = _grid(size)
    x, y = x - _col((u[:, 0] * 2 - 1) * reach), y - _col((u[:, 1] * 2 - 1) * reach)
    angle, scale = _col((u[:, 2] * 2 - 1) * turn), _col(0.8 + 0.3 * u[:, 3])
    return (np.cos(angle) * x + np.sin(angle) * y) / scale, (np.cos(angle) * y - np.sin(angle) * x) / scale


def orientation(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """Grating at one of ten angles, 18 degrees apart, with 4 degrees of jitter."""
    x, y = _grid(size)
    angle = np.pi * (labels / 10 + (u[:, 0] - 0.5) * 0.045)
    waves = _col(np.pi * (2.0 + 1.5 * u[:, 1]))
    return _gray(np.sin(waves * (_col(np.cos(angle)) * x + _col(np.sin(angle)) * y) + _col(6.283 * u[:, 2])))


def frequency(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """Five spatial frequencies, as a grating (labels 0 to 4) or a chequerboard (5 to 9), at any angle."""
    x, y = _grid(size)
    angle, waves = np.pi * u[:, 0], _col(np.pi * (1.0 + 1.1 * (labels % 5)))
    along = np.sin(waves * (_col(np.cos(angle)) * x + _col(np.sin(angle)) * y) + _col(6.283 * u[:, 1]))
    across = np.sin(waves * (_col(-np.sin(angle)) * x + _col(np.cos(angle)) * y) + _col(6.283 * u[:, 2]))
    return _gray(np.where(_col(labels) < 5, along, 1.4 * along * across))


def hue(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """The colour of the one ring; two filled discs of random colours distract."""
    x, y = _grid(size)
    layer = np.zeros((len(labels), 3, size, size), np.float32)
    start = 6.283 * u[:, 0]
    for item in range(3):
        angle = start + item * 2.094
        radius = np.hypot(x - _col(0.52 * np.cos(angle)), y - _col(0.52 * np.sin(angle)))
        edge = np.abs(radius - 0.3) - 0.1 if item == 0 else radius - 0.34
        tone = (labels + 0.3 * (u[:, 1] - 0.5)) / 10 if item == 0 else u[:, 1 + item]
        colour = np.cos(6.283 * (tone[:, None] - np.arange(3) / 3)).astype(np.float32)
        layer += _soft(edge, size)[:, None] * colour[:, :, None, None]
    return layer


def silhouette(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """Ten shapes in random pose: disc, ring, square, frame, triangle, cross, bar, two bars, half disc, corner."""
    x, y = _placed(u, size, 0.25, 0.3)
    radius, box = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    bar = np.maximum(np.abs(x) - 0.65, np.abs(y) - 0.2)
    distances = [
        radius - 0.6,
        np.abs(radius - 0.5) - 0.14,
        box - 0.55,
        np.abs(box - 0.5) - 0.13,
        np.maximum(y - 0.45, 0.866 * np.abs(x) - 0.5 * y - 0.35),
        np.minimum(bar, np.maximum(np.abs(y) - 0.65, np.abs(x) - 0.2)),
        bar,
        np.maximum(np.abs(x) - 0.65, np.abs(np.abs(y) - 0.4) - 0.15),
        np.maximum(radius - 0.65, y),
        np.maximum(box - 0.6, np.minimum(x + 0.25, 0.25 - y)),
    ]
    chosen = np.choose(labels[:, None, None], distances)
    return _gray(_soft(chosen, size) * 2 * np.where(_col(u[:, 4]) < 0.5, -0.5, 0.5))


# Seven-segment strokes: end points, and the segments of each digit.
_SEGMENTS = np.array(
    [
        [-0.35, -0.6, 0.35, -0.6], [0.35, -0.6, 0.35, 0], [0.35, 0, 0.35, 0.6], [-0.35, 0.6, 0.35, 0.6],
        [-0.35, 0, -0.35, 0.6], [-0.35, -0.6, -0.35, 0], [-0.35, 0, 0.35, 0],
    ],
    np.float32,
)  # fmt: skip
_DIGITS = ("012345", "12", "01643", "01623", "5612", "05623", "056234", "012", "0123456", "012356")


def strokes(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """The digit itself, drawn with straight strokes under a random affine warp."""
    x, y = _placed(u, size, 0.2, 0.25)
    x = x + _col(0.5 * (u[:, 4] - 0.5)) * y
    used = np.array([[str(segment) in digit for segment in range(7)] for digit in _DIGITS])[labels]
    nearest = np.full((len(labels), size, size), 9, np.float32)
    for segment, (ax, ay, bx, by) in enumerate(_SEGMENTS):
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
        distance = np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))
        nearest = np.where(used[:, segment, None, None], np.minimum(nearest, distance), nearest)
    return _gray(_soft(nearest - _col(0.09 + 0.05 * u[:, 5]), size))


def count(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """One to ten blobs on a jittered 4x4 grid."""
    x, y = _grid(size)
    rank = np.argsort(np.argsort(u[:, :16], axis=1), axis=1)
    layer = np.zeros((len(labels), size, size), np.float32)
    for cell in range(16):
        cx = (cell % 4) * 0.5 - 0.75 + 0.15 * (u[:, 16 + cell] - 0.5)
        cy = (cell // 4) * 0.5 - 0.75 + 0.15 * (u[:, 23 - cell % 8] - 0.5)
        blob = np.exp(-((x - _col(cx)) ** 2 + (y - _col(cy)) ** 2) / 0.015)
        layer += np.where(_col(rank[:, cell]) <= _col(labels), blob, 0)
    return _gray(layer)


def relation(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """The direction, in steps of 36 degrees, from a bright disc to a dark one."""
    x, y = _grid(size)
    angle = 6.283 * (labels / 10 + (u[:, 0] - 0.5) * 0.04)
    reach = 0.35 + 0.12 * u[:, 1]
    cx, cy = 0.6 * (u[:, 2] - 0.5), 0.6 * (u[:, 3] - 0.5)
    bright = _soft(np.hypot(x - _col(cx - reach * np.cos(angle)), y - _col(cy - reach * np.sin(angle))) - 0.22, size)
    dark = _soft(np.hypot(x - _col(cx + reach * np.cos(angle)), y - _col(cy + reach * np.sin(angle))) - 0.22, size)
    return _gray(bright - dark)


def texture(labels: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """Five orientations at two frequencies inside a disc that says nothing."""
    x, y = _grid(size)
    angle = np.pi * ((labels % 5) / 5 + (u[:, 0] - 0.5) * 0.06)
    waves = _col(np.pi * np.where(labels < 5, 2.2, 4.6))
    wave = np.sin(waves * (_col(np.cos(angle)) * x + _col(np.sin(angle)) * y) + _col(6.283 * u[:, 1]))
    disc = np.hypot(x - _col(0.3 * (u[:, 2] - 0.5)), y - _col(0.3 * (u[:, 3] - 0.5))) - 0.75
    return _gray(wave * _soft(disc, size))


# Early drawings can be read from local colour or frequency; late ones need shape, number or place.
EARLY: tuple[Painter, ...] = (orientation, hue, frequency, texture)
LATE: tuple[Painter, ...] = (strokes, silhouette, relation, count)
