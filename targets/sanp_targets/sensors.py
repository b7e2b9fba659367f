"""Clocks, temperatures and throttle counters. A sensor that cannot be read is listed as missing, never as zero."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from sanp_targets.processor import cpuinfo, is_virtual
from sanp_targets.pseudo_files import Root, paths, read, read_int

# Zones that are powered down report values such as -256 degrees.
_PLAUSIBLE_C = (-40.0, 150.0)


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


def read_sensors(root: Root = "/") -> Reading:
    """Read everything this machine (or a fake tree) offers. Takes up to some ms: never inside a timed region."""
    kinds: Dict[str, Any] = {
        "clock_mhz": _clocks(root),
        "temperature_c": _temperatures(root),
        "throttle": _throttle(root),
    }
    missing = tuple(name for name, values in kinds.items() if not values)
    return Reading(steal_ticks=_steal(root), missing=missing, **kinds)


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


def _clocks(root: Root) -> Dict[str, float]:
    clocks = {}
    for folder in paths(root, "sys/devices/system/cpu/cpufreq/policy*"):
        khz = read_int(root, f"{folder}/scaling_cur_freq")
        if khz is not None and khz > 0:
            clocks[folder.rsplit("/", 1)[1]] = khz / 1000.0
    # In a virtual machine cpuinfo repeats the nominal clock for ever; that is not a measurement.
    if clocks or is_virtual(root):
        return clocks
    for block in cpuinfo(root):
        try:
            clocks[f"cpu{block['processor']}"] = float(block["cpu MHz"])
        except (KeyError, ValueError):
            continue
    return clocks


def _steal(root: Root) -> Optional[int]:
    fields = (read(root, "proc/stat") or "").split("\n", 1)[0].split()
    return int(fields[8]) if fields[:1] == ["cpu"] and len(fields) > 8 and fields[8].isdigit() else None


def _temperatures(root: Root) -> Dict[str, float]:
    temperatures = {}
    for folder in paths(root, "sys/class/thermal/thermal_zone*"):
        name = f"{read(root, f'{folder}/type') or 'zone'}/{folder.rsplit('zone', 1)[1]}"
        temperatures[name] = read_int(root, f"{folder}/temp")
    for path in paths(root, "sys/class/hwmon/hwmon*/temp*_input"):
        folder, file = path.rsplit("/", 1)
        name = read(root, f"{folder}/name") or folder.rsplit("/", 1)[1]
        temperatures[f"{name}/{file[:-6]}"] = read_int(root, path)
    known = {name: value / 1000.0 for name, value in temperatures.items() if value is not None}
    return {name: value for name, value in known.items() if _PLAUSIBLE_C[0] < value < _PLAUSIBLE_C[1]}


def _throttle(root: Root) -> Dict[str, int]:
    counters = {}
    for path in paths(root, "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"):
        counters["/".join(path.split("/")[4::2])] = read_int(root, path)
    for path in paths(root, "sys/class/hwmon/hwmon*/oc*_event_cnt"):  # Jetson: over-current events
        counters["/".join(path.split("/")[3:])] = read_int(root, path)
    for folder in paths(root, "sys/class/thermal/cooling_device*"):
        kind = read(root, f"{folder}/type") or ""
        if "cpufreq" in kind or kind == "Processor":  # not the fans, which are cooling devices too
            counters[f"{kind}/{folder.rsplit('device', 1)[1]}"] = read_int(root, f"{folder}/cur_state")
    firmware = read(root, "sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi: bits since boot
    if firmware is not None:
        counters["firmware/get_throttled"] = read_int(root, "sys/devices/platform/soc/soc:firmware/get_throttled", 16)
    return {name: value for name, value in counters.items() if value is not None}
