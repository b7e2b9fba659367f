"""Least squares with coefficients that are not negative (Lawson and Hanson 1974, chapter 23), in NumPy alone."""

from __future__ import annotations

import numpy as np


def nonnegative(matrix: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The x >= 0 with the least |matrix @ x - wanted|; float64 [n] for matrix [m, n] and wanted [m].

    Columns that are zero get 0. Of several solutions, as equal columns have, it is one.
    """
    size = np.sqrt((matrix**2).sum(0))
    scaled = np.asarray(matrix / np.where(size > 0, size, 1.0), np.float64)
    count = scaled.shape[1]
    free = np.zeros(count, bool)
    x = np.zeros(count)
    near = 1e-10 * max(1.0, float(np.abs(scaled.T @ wanted).max(initial=0.0)))
    for _ in range(10 * count):
        gain = scaled.T @ (wanted - scaled @ x)
        gain[free] = -np.inf
        if free.all() or gain.max() <= near:
            break
        free[int(gain.argmax())] = True
        while free.any():
            best = np.zeros(count)
            best[free] = np.linalg.lstsq(scaled[:, free], wanted, rcond=None)[0]
            low = free & (best <= 0)
            if not low.any():
                x = best
                break
            step = np.min(x[low] / np.maximum(x[low] - best[low], np.finfo(float).tiny))
            x = np.maximum(x + step * (best - x), 0.0)
            free &= x > near * np.finfo(float).eps
            x[~free] = 0.0
    found: np.ndarray = np.where(size > 0, x / np.where(size > 0, size, 1.0), 0.0)
    return found
