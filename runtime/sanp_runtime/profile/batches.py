"""Batches in which every sample is issued equally often."""

from __future__ import annotations

from typing import List

import numpy as np

from sanp_targets.errors import ConfigError


def batches_of(x: np.ndarray, batch: int) -> List[np.ndarray]:
    """n batches of n samples x [n, C, H, W], each one starting a sample later; ConfigError if batch is not 1 to n."""
    if type(batch) is not int or not 1 <= batch <= len(x):
        raise ConfigError(f"batch is {batch!r}, expected an integer from 1 to the number of samples, {len(x)}")
    index = np.arange(len(x))
    return [np.ascontiguousarray(x[(index[start] + np.arange(batch)) % len(x)]) for start in index]
