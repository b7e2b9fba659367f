"""Who else used the processors of a measurement: neighbours, the hypervisor, and the quota of a container."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from sanp_runtime.measure.timing import Measurement

MAX_STEAL = 0.01
MAX_NEIGHBOURS = 0.05

_TICK_S = 0.01
# The kernel counts in ticks, and each end of the run may be wrong by one on each processor.
_ROUNDING_TICKS = 2
_SECONDS = {"throttled_usec": 1e-6, "throttled_time": 1e-9}


def steal_share(measurement: Measurement, cores: int, cpus: Optional[Sequence[int]] = None) -> Optional[float]:
    """Share of the time of the processors of a measurement that a hypervisor gave to others; None if it does not tell.

    cpus: those that the process was pinned to. Without them it is the share of all `cores`, which idle ones make small.
    """
    first, last = measurement.readings[0].stolen_ticks, measurement.readings[-1].stolen_ticks
    names = [f"cpu{cpu}" for cpu in cpus or ()]
    if names and measurement.elapsed_s > 0 and all(name in first and name in last for name in names):
        stolen = sum(last[name] - first[name] for name in names) * _TICK_S
        return stolen / (measurement.elapsed_s * len(names))
    ticks = [reading.steal_ticks for reading in measurement.readings if reading.steal_ticks is not None]
    if len(ticks) < 2 or measurement.elapsed_s <= 0 or cores < 1:
        return None
    return (ticks[-1] - ticks[0]) * _TICK_S / (measurement.elapsed_s * cores)


def neighbour_share(measurement: Measurement, cpus: Optional[Sequence[int]]) -> Optional[float]:
    """Share of the time of these processors in which others computed there, interrupts included; 0 to 1.

    None if the process was not pinned, if the system does not tell, or if other processes did the work (trtexec).
    """
    if not cpus or measurement.cpu_s is None or measurement.elapsed_s <= 0:
        return None
    first, last = measurement.readings[0].busy_ticks, measurement.readings[-1].busy_ticks
    names = [f"cpu{cpu}" for cpu in cpus]
    if not all(name in first and name in last for name in names):
        return None
    ticks = sum(last[name] - first[name] - _ROUNDING_TICKS for name in names)
    others = ticks * _TICK_S - measurement.cpu_s
    return min(max(others / (measurement.elapsed_s * len(names)), 0.0), 1.0)


def waiting_share(measurement: Measurement) -> Optional[float]:
    """Share of the time in which some task of the whole machine waited for a processor; None if it does not tell."""
    waited = [reading.waited_us for reading in measurement.readings if reading.waited_us is not None]
    if len(waited) < 2 or measurement.elapsed_s <= 0:
        return None
    return (waited[-1] - waited[0]) / 1e6 / measurement.elapsed_s


def quota_stops(measurement: Measurement) -> Optional[Dict[str, Any]]:
    """{"periods", "seconds"}: how often and how long the kernel stopped the container; None without such counters."""
    names = {name for reading in measurement.readings for name in reading.throttle if name.startswith("cgroup/")}
    rise = {name.split("/", 1)[1]: _rise(measurement, name) for name in names}
    if "nr_throttled" not in rise:
        return None
    seconds = [rise[name] * scale for name, scale in _SECONDS.items() if name in rise]
    return {"periods": rise["nr_throttled"], "seconds": sum(seconds) if seconds else None}


def company_reasons(steal: Optional[float], neighbours: Optional[float]) -> List[str]:
    """A sentence for each of the two that matters."""
    reasons = []
    if steal is not None and steal > MAX_STEAL:
        reasons.append(f"the hypervisor gave {steal:.1%} of the processor time to others")
    if neighbours is not None and neighbours > MAX_NEIGHBOURS:
        reasons.append(f"others used the processors of the measurement for {neighbours:.0%} of the time")
    return reasons


def quota_reasons(stops: Optional[Dict[str, Any]], limit: Optional[float]) -> List[str]:
    """How often the kernel stopped the process, in words, if it did."""
    if stops is None or not stops["periods"]:
        return []
    long = "" if stops["seconds"] is None else f", {stops['seconds']:.1f} s in all"
    whose = "of the container" if limit is None else f"of {limit:g} processors"
    return [f"the kernel stopped the process in {stops['periods']} periods{long}, by the limit {whose}"]


def _rise(measurement: Measurement, name: str) -> int:
    values = [reading.throttle[name] for reading in measurement.readings if name in reading.throttle]
    return max(values) - values[0]
