"""May a measurement be quoted? VALID, UNPINNED, NOISY or THROTTLED, with reasons and the numbers behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.contract import DENSE
from sanp_runtime.measure.company import (
    company_reasons,
    neighbour_share,
    quota_reasons,
    quota_stops,
    steal_share,
    waiting_share,
)
from sanp_runtime.measure.stalls import stall_reasons, stalls_of
from sanp_runtime.measure.timing import Measurement
from sanp_targets.sensors import clock_drop, gpu_clock_range, throttle_events

VALID, UNPINNED, NOISY, THROTTLED = "VALID", "UNPINNED", "NOISY", "THROTTLED"

# The dense baseline does the same work all the time, so its two halves may differ only by what the machine did.
MAX_DRIFT = 0.05
# Repeated calls of one sample: the 90th percentile over the median.
MAX_SPREAD = 0.10
MIN_CLOCK = 0.90
MIN_CALLS = 30


@dataclass(frozen=True)
class Conditions:
    """Where the measurement ran: processors it was pinned to (None = not pinned), governor, logical cores, VM or not.

    clocks: names of the clock readings that belong to those processors. cpu_limit: processors that a container may use.
    gpus: what decides about the clock of each GPU that was used, as `sanp_targets.sensors.gpu_governor` tells it.
    """

    cpus: Optional[Sequence[int]]
    governor: Optional[str]
    cores: int
    virtual: Optional[str] = None
    clocks: Sequence[str] = ()
    cpu_limit: Optional[float] = None
    gpus: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Validity:
    """The verdict; reasons explain it, notes say what could not be observed, evidence holds the numbers."""

    verdict: str
    reasons: Tuple[str, ...]
    notes: Tuple[str, ...]
    evidence: Mapping[str, Any]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return dict(self.__dict__, reasons=list(self.reasons), notes=list(self.notes), evidence=dict(self.evidence))


def assess(measurement: Measurement, conditions: Conditions, baseline: str = DENSE) -> Validity:
    """Judge a measurement; `baseline` names the engine whose work does not depend on the sample.

    The worst finding decides: THROTTLED before NOISY before UNPINNED.
    """
    drift = drift_of(measurement.latency_ms[baseline])
    spread = {name: spread_of(values) for name, values in measurement.latency_ms.items()}
    drops = clock_drop(measurement.readings)
    clock = min([drops[name] for name in conditions.clocks if name in drops], default=None)
    steal, neighbours = (
        steal_share(measurement, conditions.cores, conditions.cpus),
        neighbour_share(measurement, conditions.cpus),
    )
    events, stops = throttle_events(measurement.readings), quota_stops(measurement)
    gpus = gpu_clock_range(measurement.readings)
    stalls = stall_reasons({name: stalls_of(values) for name, values in measurement.latency_ms.items()})
    found = {
        THROTTLED: [*quota_reasons(stops, conditions.cpu_limit), *_throttled(events, drift, clock, conditions)],
        NOISY: [*_noisy(measurement, drift, spread), *stalls, *company_reasons(steal, neighbours)],
        UNPINNED: [*_unpinned(clock, conditions), *_gpu_unpinned(gpus), *_gpu_unfixed(conditions.gpus)],
    }
    return Validity(
        verdict=next((name for name, reasons in found.items() if reasons), VALID),
        reasons=tuple(reason for reasons in found.values() for reason in reasons),
        notes=tuple(f"{name} cannot be read on this machine" for name in measurement.readings[-1].missing),
        evidence={
            "drift": drift,
            "spread": spread,
            "clock_drop": clock,
            "gpu_clock_mhz": {name: list(ends) for name, ends in gpus.items()},
            "gpu_governor": {name: dict(row) for name, row in conditions.gpus.items()},
            "steal": steal,
            "neighbours": neighbours,
            "waiting": waiting_share(measurement),
            "quota": stops,
            "throttle_events": events,
            "preempted": measurement.preempted,
            "warm_up_stable": {name: state.stable for name, state in measurement.warm_up.items()},
        },
    )


def joined(first: Validity, second: Validity, what: str) -> Validity:
    """The worse of two verdicts, with the reasons of both; what: the second measurement, in front of its reasons."""
    order = (THROTTLED, NOISY, UNPINNED, VALID)
    known = set(first.reasons)
    return Validity(
        verdict=min(first.verdict, second.verdict, key=order.index),
        reasons=(*first.reasons, *(f"{what}: {reason}" for reason in second.reasons if reason not in known)),
        notes=first.notes,
        evidence=first.evidence,
    )


def drift_of(values: np.ndarray) -> float:
    """Relative change of the median latency between the halves of a run; values [rounds, samples]."""
    half = len(values) // 2
    ratio = np.median(values[-half:], axis=0) / np.median(values[:half], axis=0)
    return float(np.median(ratio) - 1)


def spread_of(values: np.ndarray) -> float:
    """90th percentile over the median of repeated calls, minus one, with the differences between samples removed."""
    relative = values / np.median(values, axis=0)
    return float(np.percentile(relative, 90) - 1)


def _throttled(events: List[str], drift: float, clock: Optional[float], conditions: Conditions) -> List[str]:
    reasons = [event for event in events if not event.startswith("cgroup/")]  # told in words by `quota_reasons`
    if clock is not None and clock < MIN_CLOCK and (conditions.governor == "performance" or drift > MAX_DRIFT):
        reasons.append(f"the clock fell to {clock:.0%} of its highest reading while the processor was busy")
    return reasons


def _noisy(measurement: Measurement, drift: float, spread: Mapping[str, float]) -> List[str]:
    reasons = []
    calls = min(values.size for values in measurement.latency_ms.values())
    if calls < MIN_CALLS:
        reasons.append(f"only {calls} calls per engine, expected {MIN_CALLS} or more: measure longer")
    if abs(drift) > MAX_DRIFT:
        reasons.append(f"the dense baseline drifted by {drift:+.1%} between the halves of the run")
    for name, value in spread.items():
        if value > MAX_SPREAD:
            reasons.append(f"repeated calls of {name} spread by {value:.0%} (p90 over median)")
    return reasons


def _unpinned(clock: Optional[float], conditions: Conditions) -> List[str]:
    reasons = []
    if conditions.cpus is None:
        reasons.append("the process could not be pinned to its own cores")
    if conditions.governor is None:
        where = f" ({conditions.virtual})" if conditions.virtual else ""
        reasons.append(f"the clock can be neither read nor fixed here{where}")
    elif conditions.governor != "performance":
        varied = f", and the clock varied down to {clock:.0%}" if clock is not None and clock < MIN_CLOCK else ""
        reasons.append(f"the frequency governor is {conditions.governor}, not performance{varied}")
    return reasons


def _gpu_unpinned(clocks: Mapping[str, Tuple[float, float]]) -> List[str]:
    """A GPU whose clock moves, idle between two calls or not, was not fixed; that is no throttling by itself."""
    return [
        f"the clock of {name} varied between {low:.0f} and {high:.0f} MHz; fix it with `sudo jetson_clocks` or "
        "`sudo nvidia-smi --lock-gpu-clocks`"
        for name, (low, high) in clocks.items()
        if low < MIN_CLOCK * high
    ]


def _gpu_unfixed(gpus: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """A governor that may move the clock, although it happened not to be seen: as for the processor."""
    return [
        f"the clock of {name} is free between {row['min_mhz'] or 0:.0f} and {row['max_mhz'] or 0:.0f} MHz under the "
        f"governor {row['governor']}; fix it with --fix-clocks"
        for name, row in gpus.items()
        if row.get("fixed") is False
    ]
