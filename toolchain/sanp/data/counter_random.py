"""Random numbers that are a function of (seed, index, stream): any image can be drawn alone, in any order."""

from __future__ import annotations

import zlib

import numpy as np

_REFERENCE = np.uint64(0x9E3779B97F4A7C15)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: a bijection on uint64 whose outputs pass the usual tests."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(seed: int, index: np.ndarray, stream: str, count: int) -> np.ndarray:
    """float32 [N, count] in [0, 1): row n depends on seed, index[n] and the stream's name alone."""
    base = _mixed(np.array([seed], np.uint64) * _REFERENCE + np.uint64(zlib.crc32(stream.encode())))
    rows = _mixed(index.astype(np.uint64) + base)[:, None]
    values = _mixed(rows + np.arange(1, count + 1, dtype=np.uint64)[None] * _REFERENCE)
    return ((values >> np.uint64(40)).astype(np.float32)) * np.float32(2**-24)


def normal(seed: int, index: np.ndarray, stream: str, count: int) -> np.ndarray:
    """float32 [N, count], standard normal (Box and Muller)."""
    pairs = (count + 1) // 2
    u = uniform(seed, index, stream, 2 * pairs)
    radius = np.sqrt(-2 * np.log(1 - u[:, :pairs]))
    angle = np.float32(2 * np.pi) * u[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]
