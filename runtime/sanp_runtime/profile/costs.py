"""What the samples cost beside how long they took: MACs, ratios, and whether the one follows the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from sanp_runtime.contract import DENSE, OPEN
from sanp_runtime.measure.interval import paired_interval
from sanp_runtime.measure.timing import Measurement


@dataclass(frozen=True)
class Macs:
    """MACs of the network without gates, and of its samples with them (all equal where there are no gates).

    parent: of the network before channels were removed, None where that is not known.
    """

    parent: Optional[int]
    dense: int
    gated_mean: float
    gated_stdev: float
    gated_min: float
    gated_p50: float
    gated_p99: float
    gated_max: float


@dataclass(frozen=True)
class Ratios:
    """theoretical: MACs of the baseline over the mean of the samples. measured: its time over that of the network.

    measured_interval: where `measured` lies with 95 % by the noise of this run, None from too few
    rounds, and where engines did not take turns. efficiency:
    measured / theoretical. overhead: time with every gate open over dense time, None without gates.
    """

    theoretical: float
    measured: float
    efficiency: float
    overhead: Optional[float]
    measured_interval: Optional[Tuple[float, float]]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        ends = self.measured_interval
        return dict(self.__dict__, measured_interval=None if ends is None else list(ends))


@dataclass(frozen=True)
class SampleRow:
    """A call, which is a sample if the batch is 1: mean MACs of its samples, median latency in each variant.

    A time is None for a variant that the bundle lacks.
    """

    index: int
    macs: float
    parent_ms: Optional[float] = None
    dense_ms: Optional[float] = None
    open_ms: Optional[float] = None
    gated_ms: Optional[float] = None
    float_dense_ms: Optional[float] = None
    float_gated_ms: Optional[float] = None


def macs_of(parent: Optional[int], dense: int, gated: np.ndarray) -> Macs:
    """Statistics of the samples; gated: MACs of each, [n]."""
    p50, p99 = (float(value) for value in np.percentile(gated, (50, 99)))
    lowest, highest = float(gated.min()), float(gated.max())
    return Macs(parent, dense, float(gated.mean()), float(gated.std()), lowest, p50, p99, highest)


def ratios_of(measurement: Measurement, baseline: str, main: str, full: int, mean: float) -> Optional[Ratios]:
    """From typical latencies, since the mean cost of the samples belongs to the mean of their latencies.

    baseline, main: the variants that are compared; full: MACs of the baseline; mean: of the samples. None if a bundle
    has nothing to compare with.
    """
    if baseline == main:
        return None
    latency, typical = measurement.latency_ms, measurement.typical_ms
    theoretical, measured = full / mean, typical(baseline) / typical(main)
    return Ratios(
        theoretical=theoretical,
        measured=measured,
        efficiency=measured / theoretical,
        overhead=typical(OPEN) / typical(DENSE) if OPEN in latency else None,
        measured_interval=paired_interval(latency[baseline], latency[main]) if measurement.in_turns else None,
    )


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
