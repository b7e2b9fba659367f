"""One look at the sensors, and what changed between several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Reading:
    """One look at the sensors.

    clock_mhz: cpufreq policy or core -> MHz now; temperature_c: zone -> degrees; throttle: counter -> value, which only
    grows; levels: what slows the machine down now, 0 = does not; gpu_clock_mhz: GPU -> MHz now; busy_ticks:
    "cpu3" -> time since boot in which somebody computed there, in 1/100 s; stolen_ticks, steal_ticks: time that a
    hypervisor gave to others, of each processor and summed over all, in 1/100 s; waited_us: time since boot in which a
    task of the machine waited for a processor; missing: the sources that could not be read.
    """

    clock_mhz: Dict[str, float] = field(default_factory=dict)
    temperature_c: Dict[str, float] = field(default_factory=dict)
    throttle: Dict[str, int] = field(default_factory=dict)
    levels: Dict[str, int] = field(default_factory=dict)
    gpu_clock_mhz: Dict[str, float] = field(default_factory=dict)
    busy_ticks: Dict[str, int] = field(default_factory=dict)
    stolen_ticks: Dict[str, int] = field(default_factory=dict)
    steal_ticks: Optional[int] = None
    waited_us: Optional[int] = None
    missing: Tuple[str, ...] = ()

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return dict(self.__dict__, missing=list(self.missing))


def throttle_events(readings: Sequence[Reading]) -> List[str]:
    """One sentence for each counter that rose after the first reading, and each level that was not 0 in any reading.

    A level counts from the first reading on: a board that was throttled before the run was throttled during it.
    """
    events = []
    for name in sorted({name for reading in readings for name in reading.throttle}):
        values = [reading.throttle[name] for reading in readings if name in reading.throttle]
        if max(values) > values[0]:
            events.append(f"{name} rose from {values[0]} to {max(values)}")
    for name in sorted({name for reading in readings for name in reading.levels}):
        values = [reading.levels[name] for reading in readings if name in reading.levels]
        if values[0] > 0:
            events.append(f"{name} was at level {values[0]} when the measurement began")
        elif max(values) > 0:
            events.append(f"{name} rose from 0 to {max(values)}")
    return events


def clock_drop(readings: Sequence[Reading]) -> Dict[str, float]:
    """Clock -> lowest reading as a fraction of the highest one, for clocks with at least two readings."""
    drops = {}
    for name in sorted({name for reading in readings for name in reading.clock_mhz}):
        values = [reading.clock_mhz[name] for reading in readings if name in reading.clock_mhz]
        if len(values) > 1 and max(values) > 0:
            drops[name] = min(values) / max(values)
    return drops


def gpu_clock_range(readings: Sequence[Reading]) -> Dict[str, Tuple[float, float]]:
    """GPU -> lowest and highest clock in MHz."""
    found: Dict[str, List[float]] = {}
    for reading in readings:
        for name, value in reading.gpu_clock_mhz.items():
            found.setdefault(name, []).append(value)
    return {name: (min(values), max(values)) for name, values in found.items()}
