"""How sure a ratio of two latencies is: an interval by resampling the rounds of a measurement."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.measure.stats import typical

# With fewer rounds a resampled median is one of a handful of values, and the interval says nothing.
MIN_ROUNDS = 6
CONFIDENCE = 0.95
_DRAWS = 400
# Rounds that follow each other see the same machine: they are drawn together, in at most this many blocks.
_BLOCKS = 50
_SEED = 20260101

Interval = Tuple[float, float]
# Latencies float [rounds, samples] of one engine, or of two that took turns and whose ratio is meant.
Series = Tuple[np.ndarray, ...]


def paired_interval(over_ms: np.ndarray, under_ms: np.ndarray) -> Optional[Interval]:
    """95 % interval of typical(over) / typical(under), for engines that took turns in the same rounds.

    Both float [rounds, samples], of equal shape; typical is the mean over samples of the median over rounds, as in
    `Measurement.typical_ms`. Blocks of consecutive rounds are drawn with replacement, the same ones for both engines,
    so that what slowed both down cancels (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, sections 8 and
    13: blocks of dependent data, percentile interval). It holds the noise of this run; another run on the same machine
    may differ by more, because memory is laid out anew. None below `MIN_ROUNDS` rounds. ValueError for shapes that
    differ.
    """
    if over_ms.shape != under_ms.shape or over_ms.ndim != 2:
        raise ValueError(f"latencies of shapes {over_ms.shape} and {under_ms.shape}, expected equal [rounds, samples]")
    if len(over_ms) < MIN_ROUNDS:
        return None
    return _ends(_draws((over_ms, under_ms), np.random.default_rng(_SEED)))


def change_interval(over: Series, under: Series) -> Optional[Interval]:
    """95 % interval of the ratio of two measurements of their own, with any numbers of rounds and samples.

    Each is the latency of one engine, or of two: then the ratio of their ratios is meant. None as above.
    """
    if min(len(latency_ms) for latency_ms in over + under) < MIN_ROUNDS:
        return None
    generator = np.random.default_rng(_SEED)
    return _ends(_draws(over, generator) / _draws(under, generator))


def value_of(series: Sequence[np.ndarray]) -> float:
    """The typical latency of one engine, or the ratio of that of two."""
    found = [typical(latency_ms) for latency_ms in series]
    return found[0] / found[1] if len(found) == 2 else found[0]


def _draws(series: Series, generator: np.random.Generator) -> np.ndarray:
    """The value of a series in drawn rounds, again and again, float64 [draws]."""
    rounds = len(series[0])
    blocks = np.array_split(np.arange(rounds), min(rounds, _BLOCKS))
    values = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        rows = np.concatenate([blocks[index] for index in generator.integers(0, len(blocks), len(blocks))])
        values[draw] = value_of([latency_ms[rows] for latency_ms in series])
    return values


def _ends(ratios: np.ndarray) -> Interval:
    low, high = np.percentile(ratios, (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    return float(low), float(high)
