"""What the samples cost beside how long they took: MACs, ratios, and whether the one follows the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Optional

import numpy as np

from sanp_runtime.contract import DENSE, GATED, OPEN


@dataclass(frozen=True)
class Macs:
    """MACs of the network without gates, and of its samples with them."""

    dense: int
    gated_mean: float
    gated_stdev: float
    gated_min: float
    gated_p50: float
    gated_p99: float
    gated_max: float


@dataclass(frozen=True)
class Ratios:
    """theoretical: dense over mean gated MACs. measured: dense over gated time. efficiency: measured / theoretical.

    overhead: time with every gate open over dense time.
    """

    theoretical: float
    measured: float
    efficiency: float
    overhead: float


@dataclass(frozen=True)
class SampleRow:
    """A call, which is a sample if the batch is 1: mean MACs of its samples, median latency in each variant."""

    index: int
    macs: float
    dense_ms: float
    open_ms: float
    gated_ms: float


def macs_of(dense: int, gated: np.ndarray) -> Macs:
    """Statistics of the samples; gated: MACs of each, [n]."""
    p50, p99 = (float(value) for value in np.percentile(gated, (50, 99)))
    lowest, highest = float(gated.min()), float(gated.max())
    return Macs(dense, float(gated.mean()), float(gated.std()), lowest, p50, p99, highest)


def ratios_of(typical_ms: Mapping[str, float], dense: int, gated: float) -> Ratios:
    """From typical latencies, since the mean cost of the samples (gated) belongs to the mean of their latencies."""
    theoretical, measured = dense / gated, typical_ms[DENSE] / typical_ms[GATED]
    return Ratios(theoretical, measured, measured / theoretical, typical_ms[OPEN] / typical_ms[DENSE])


def sample_rows(latency_ms: Mapping[str, np.ndarray], macs: np.ndarray) -> List[SampleRow]:
    """A row per call; latency_ms: variant -> median of each call, macs: mean MACs of each, all [calls]."""
    columns = {f"{name}_ms": values.tolist() for name, values in latency_ms.items()}
    return [
        SampleRow(index, float(macs[index]), **{name: values[index] for name, values in columns.items()})
        for index in range(len(macs))
    ]


def correlation(latency: np.ndarray, macs: np.ndarray) -> Optional[float]:
    """Pearson's r between cost and latency; None if either does not vary."""
    if len(macs) < 3 or np.ptp(macs) == 0 or np.ptp(latency) == 0:
        return None
    return float(np.corrcoef(latency, macs)[0, 1])
