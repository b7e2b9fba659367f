"""Time several engines on the same samples, side by side.

The latency of a gated network is a property of the data, so every sample is issued equally often to every engine. The
engines take turns in blocks of samples, and their order rotates every round: a machine that slows down slows all of
them. The first call of each block is not counted; it brings the weights of this engine back into the caches, as they
are where it runs alone.
"""

from __future__ import annotations

import gc
import math
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.measure.stats import typical
from sanp_targets.errors import ConfigError
from sanp_targets.sensors import Reading, read_sensors

try:
    import resource
except ImportError:  # not a Unix system
    resource = None  # type: ignore[assignment]

Call = Callable[[], Any]
Clock = Callable[[], int]

WARM_UP_MS = 200.0
WARM_UP_CAP_MS = 2000.0
_WINDOW_MS = 50.0
_STABLE = 0.02
_BLOCK = 16
# Sensors are read between rounds; some take milliseconds, so short rounds must not read them every time.
_SENSOR_MS = 100.0
_MIN_ROUNDS = 2


@dataclass(frozen=True)
class WarmUp:
    """Calls and time before an engine was measured; stable: two windows in a row had medians within 2 %."""

    calls: int
    ms: float
    stable: bool


@dataclass(frozen=True)
class Measurement:
    """latency_ms: engine -> float64 [rounds, samples]; readings of the sensors from start to end; elapsed time.

    preempted: times that the system took the processor away, None where it does not tell. cpu_s: processor time of all
    threads of this process from start to end, None if other processes did the work. in_turns: whether round i of all
    engines ran at the same time; else what slowed one of them down says nothing about the others.
    """

    latency_ms: Mapping[str, np.ndarray]
    warm_up: Mapping[str, WarmUp]
    readings: Tuple[Reading, ...]
    elapsed_s: float
    preempted: Any = None
    cpu_s: Optional[float] = None
    in_turns: bool = True

    def per_sample_ms(self, engine: str) -> np.ndarray:
        """Median over the rounds for every sample, float64 [samples]."""
        return np.median(self.latency_ms[engine], axis=0)

    def typical_ms(self, engine: str) -> float:
        """Mean over samples of the median of each: what an average sample costs when nothing disturbs it."""
        return typical(self.latency_ms[engine])

    def spread_ms(self, engine: str) -> Dict[str, float]:
        """p90 minus p10 of what the data causes (medians of the samples) and of what the machine adds to them."""
        medians = self.per_sample_ms(engine)
        jitter = self.latency_ms[engine] - medians
        low, high = np.percentile(medians, (10, 90)), np.percentile(jitter, (10, 90))
        return {"data": float(low[1] - low[0]), "machine": float(high[1] - high[0])}


def measure(
    callables: Mapping[str, Sequence[Call]],
    duration_s: float,
    *,
    clock: Clock = time.perf_counter_ns,
    sensors: Callable[[], Reading] = read_sensors,
) -> Measurement:
    """Warm every engine up, then run whole rounds until `duration_s` is over (at least two rounds).

    callables: engine -> one function per sample, in the same order for all engines. A round issues every sample once to
    every engine. The garbage collector is off while timing. clock: of the calls, in nanoseconds; what the sensors count
    is compared with the time of the wall, whatever the clock. Raises ConfigError for unequal or empty lists.
    """
    counts = {len(calls) for calls in callables.values()}
    if len(counts) != 1 or 0 in counts:
        raise ConfigError(f"engines have {sorted(counts)} samples, expected the same positive number for each")
    if not (isinstance(duration_s, (int, float)) and math.isfinite(duration_s) and duration_s > 0):
        raise ConfigError(f"duration is {duration_s!r}, expected a positive number of seconds")
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        warm = {name: warm_up(calls, clock) for name, calls in callables.items()}
        before, start, used = _preemptions(), clock(), time.process_time()
        began = time.perf_counter()
        rounds: Dict[str, List[List[int]]] = {name: [] for name in callables}
        readings, looked, done = [sensors()], start, 0
        while done < _MIN_ROUNDS or clock() - start < duration_s * 1e9:
            _round(callables, rounds, done, clock)
            done += 1
            if clock() - looked >= _SENSOR_MS * 1e6:
                readings.append(sensors())
                looked = clock()
        readings.append(sensors())
        elapsed, used = time.perf_counter() - began, time.process_time() - used
        after = _preemptions()
    finally:
        if collecting:
            gc.enable()
    return Measurement(
        latency_ms={name: np.asarray(values, np.float64) / 1e6 for name, values in rounds.items()},
        warm_up=warm,
        readings=tuple(readings),
        elapsed_s=elapsed,
        preempted=after - before if before is not None and after is not None else None,
        cpu_s=used,
    )


def warm_up(calls: Sequence[Call], clock: Clock = time.perf_counter_ns) -> WarmUp:
    """Run for 200 ms, then until two windows of 50 ms or more have medians within 2 %, for two seconds at most.

    A window holds whole passes over the samples, because samples differ in cost.
    """
    start, count = clock(), 0
    previous, stable = math.inf, False
    while not stable and clock() - start < WARM_UP_CAP_MS * 1e6:
        window: List[int] = []
        opened = clock()
        while clock() - opened < _WINDOW_MS * 1e6:
            for call in calls:
                before = clock()
                call()
                window.append(clock() - before)
        count += len(window)
        middle = float(np.median(window))
        stable = abs(middle / previous - 1) < _STABLE and clock() - start >= WARM_UP_MS * 1e6
        previous = max(middle, 1.0)
    return WarmUp(count, (clock() - start) / 1e6, stable)


def _round(
    callables: Mapping[str, Sequence[Call]], rounds: Dict[str, List[List[int]]], index: int, clock: Clock
) -> None:
    """Issue every sample once to every engine, in blocks; appends one row per engine."""
    names = list(callables)
    first = index % len(names)
    order = names[first:] + names[:first]
    total = len(callables[names[0]])
    rows: Dict[str, List[int]] = {name: [] for name in names}
    for begin in range(0, total, _BLOCK):
        for name in order:
            _time_block(callables[name][begin : begin + _BLOCK], rows[name], clock)
    for name in names:
        rounds[name].append(rows[name])


def _time_block(calls: Sequence[Call], row: List[int], clock: Clock) -> None:
    calls[0]()
    for call in calls:
        start = clock()
        call()
        row.append(clock() - start)


def _preemptions() -> Any:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource is not None else None
