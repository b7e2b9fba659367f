"""MixCues: generated images on which the useful channels depend on the sample, with knobs that switch that off.

Every image belongs to one of M modes. All modes share ten labels, and each mode writes the label with a drawing of
its own (see `drawings`). The drawing of the mode has full contrast; one other is faint and shows a label that means
nothing.
"""

from __future__ import annotations

import numpy as np

from sanp.data.counter_random import normal, uniform
from sanp.data.dataset import Dataset, Split, channel_statistics
from sanp.data.drawings import DRAWS, EARLY, LATE, Painter
from sanp_targets.errors import ConfigError

_CHUNK = 2048  # images rendered at a time; bounds memory at about 100 MB for 32x32
_SPLIT_OFFSETS = {"train": 0, "val": 1 << 30, "test": 1 << 31}


def load_mixcues(
    image_size: int = 32,
    modes: int = 4,
    cue: float = 1.0,
    leak: float = 0.35,
    difficulty: float = 0.6,
    heterogeneity: float = 1.0,
    train_size: int = 20000,
    val_size: int = 2000,
    test_size: int = 4000,
    seed: int = 0,
) -> Dataset:
    """The set as uint8 images; image i of a split depends on (seed, split, i) and the knobs only.

    modes: 1 to 8. cue: how far the mean colour of an image tells its mode, 0 to 1. leak: contrast of the misleading
    drawing. difficulty: range of noise, occlusion and lost contrast. heterogeneity: 1 = half of the modes need late
    features, 0 = as few as possible. Splits carry "mode" int64 and "difficulty" float32 (0 to 1) in `extra`.
    Raises ConfigError for a knob outside its range.
    """
    knobs = {"cue": cue, "leak": leak, "difficulty": difficulty, "heterogeneity": heterogeneity}
    for name, value in knobs.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"mixcues option {name} is {value}, expected 0 to 1; correct it")
    if not 1 <= modes <= len(EARLY) + len(LATE) or min(train_size, val_size, test_size) < 1:
        raise ConfigError(f"mixcues has modes={modes} and sizes {train_size}/{val_size}/{test_size}, expected 1 to 8 "
                          "modes and at least one image per split; correct them")  # fmt: skip
    painters = drawings_for(modes, heterogeneity)
    sizes = {"train": train_size, "val": val_size, "test": test_size}
    raws = {
        name: render(np.arange(size) + _SPLIT_OFFSETS[name], seed, image_size, painters, cue, leak, difficulty)
        for name, size in sizes.items()
    }
    mean, std = channel_statistics(raws["train"][0])
    splits = {
        name: Split(images, labels, mean, std, {"mode": mode, "difficulty": hard})
        for name, (images, labels, mode, hard) in raws.items()
    }
    names = tuple(str(label) for label in range(10))
    return Dataset("mixcues", 10, splits["train"], splits["val"], splits["test"], names)


def drawings_for(modes: int, heterogeneity: float) -> tuple[Painter, ...]:
    """The drawing of each mode: round(heterogeneity * modes / 2) late ones, more if the early ones run out."""
    late = int(heterogeneity * modes / 2 + 0.5)
    late = min(len(LATE), max(late, modes - len(EARLY)))
    return (*EARLY[: modes - late], *LATE[:late])


def render(
    index: np.ndarray, seed: int, size: int, painters: tuple[Painter, ...], cue: float, leak: float, difficulty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, size, size], labels int64 [N], modes int64 [N], difficulty float32 [N] of these indices."""
    parts = [
        _render(index[start : start + _CHUNK], seed, size, painters, cue, leak, difficulty)
        for start in range(0, len(index), _CHUNK)
    ]
    images, labels, modes, hard = (np.concatenate(column) for column in zip(*parts))
    return images, labels, modes, hard


def _render(
    index: np.ndarray, seed: int, size: int, painters: tuple[Painter, ...], cue: float, leak: float, difficulty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n, many = len(index), len(painters)
    u = uniform(seed, index, "sample", 16)
    labels, modes = (u[:, 0] * 10).astype(np.int64), (u[:, 1] * many).astype(np.int64)
    others = (modes + 1 + (u[:, 2] * (many - 1)).astype(np.int64)) % many
    hard = u[:, 3] * difficulty
    images = np.zeros((n, 3, size, size), np.float32)
    wrong = (u[:, 4] * 10).astype(np.int64)
    for layer, which, drawn in (("main", modes, labels), ("leak", others, wrong)):
        if layer == "leak" and (many == 1 or leak == 0):
            continue
        draws = uniform(seed, index, layer, DRAWS)
        strength = 0.32 * (1 - 0.5 * hard) * (1.0 if layer == "main" else leak)
        for mode, painter in enumerate(painters):
            rows = np.flatnonzero(which == mode)
            if len(rows):
                images[rows] += strength[rows, None, None, None] * painter(drawn[rows], draws[rows], size)
    images += (0.5 + _tint(modes, u, cue))[:, :, None, None]
    noise = normal(seed, index, "noise", 3 * size * size).reshape(n, 3, size, size)
    images += (0.02 + 0.1 * hard)[:, None, None, None] * noise
    _occlude(images, u, hard)
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pixels, labels, modes, hard.astype(np.float32)


def _tint(modes: np.ndarray, u: np.ndarray, cue: float) -> np.ndarray:
    """Background colour [N, 3]: of the mode at cue 1, of a random mode at cue 0, blended in between."""

    def colour(position: np.ndarray) -> np.ndarray:
        return 0.15 * np.cos(6.283 * (position[:, None] * 0.618 - np.arange(3) / 3))

    jitter = 0.04 * (u[:, 5:8] - 0.5)
    blended = cue * colour(modes) + (1 - cue) * colour(np.floor(u[:, 8] * 8))
    return (blended + jitter).astype(np.float32)


def _occlude(images: np.ndarray, u: np.ndarray, hard: np.ndarray) -> None:
    """Paint a flat square over a corner of the hard images, in place; side up to 0.3 of the image."""
    size = images.shape[-1]
    side = 0.3 * hard * size
    row, column = u[:, 9] * (size - side), u[:, 10] * (size - side)
    axis = np.arange(size)
    inside_rows = (axis[None] >= row[:, None]) & (axis[None] < (row + side)[:, None])
    inside_columns = (axis[None] >= column[:, None]) & (axis[None] < (column + side)[:, None])
    covered = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    np.copyto(images, u[:, 11, None, None, None], where=covered)
