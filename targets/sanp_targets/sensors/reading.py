"""One look at the sensors, and what changed between several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Reading:
    """One look at the sensors.

    clock_mhz: cpufreq policy or core -> MHz now; temperature_c: zone -> degrees; throttle: counter -> value, which only
    grows, or the level of a processor's cooling device, where 0 is no intervention; steal_ticks: time that a hypervisor
    gave to others, summed over processors, in 1/100 s; missing: kinds with no sensor.
    """

    clock_mhz: Dict[str, float] = field(default_factory=dict)
    temperature_c: Dict[str, float] = field(default_factory=dict)
    throttle: Dict[str, int] = field(default_factory=dict)
    steal_ticks: Optional[int] = None
    missing: Tuple[str, ...] = ()

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return dict(self.__dict__, missing=list(self.missing))


def throttle_events(readings: Sequence[Reading]) -> List[str]:
    """Counters and cooling levels that rose between the first and a later reading, one sentence each."""
    events = []
    for name in sorted({name for reading in readings for name in reading.throttle}):
        values = [reading.throttle[name] for reading in readings if name in reading.throttle]
        if max(values) > values[0]:
            events.append(f"{name} rose from {values[0]} to {max(values)}")
    return events


def clock_drop(readings: Sequence[Reading]) -> Dict[str, float]:
    """Clock -> lowest reading as a fraction of the highest one, for clocks with at least two readings."""
    drops = {}
    for name in sorted({name for reading in readings for name in reading.clock_mhz}):
        values = [reading.clock_mhz[name] for reading in readings if name in reading.clock_mhz]
        if len(values) > 1 and max(values) > 0:
            drops[name] = min(values) / max(values)
    return drops
