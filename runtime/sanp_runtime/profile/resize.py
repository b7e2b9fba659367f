"""Samples in another size, for measurements of networks that take several."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from sanp_runtime.network.sizes import Size


def resized(x: np.ndarray, size: Size) -> np.ndarray:
    """Images float32 [N, C, H, W] in another (height, width): bilinear between pixel centres, edges repeated."""
    for axis, count in ((2, size[0]), (3, size[1])):
        if x.shape[axis] != count:
            low, high, share = _between(x.shape[axis], count)
            share = share.reshape([-1 if at == axis else 1 for at in range(4)])
            x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return np.ascontiguousarray(x)


def _between(old: int, new: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new pixel: the old ones on both sides of its centre, and how near the second is, float32 [new]."""
    place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(place).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), (place - low).astype(np.float32)
