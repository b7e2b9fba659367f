"""Signs that a machine slows itself down; each board has its own, so every source is a function in a list."""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

from sanp_targets.pseudo_files import Root, paths, read, read_int
from sanp_targets.sensors.quota import quota_counters

Counters = Dict[str, Optional[int]]

_RASPBERRY_PI = "sys/devices/platform/soc/soc:firmware/get_throttled"


def throttle_counters(root: Root) -> Dict[str, int]:
    """Name -> value of everything that rises when the machine is throttled."""
    found: Counters = {}
    for source in SOURCES:
        found.update(source(root))
    return {name: value for name, value in found.items() if value is not None}


def _x86_thermal(root: Root) -> Counters:
    files = paths(root, "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
    return {"/".join(path.split("/")[4::2]): read_int(root, path) for path in files}


def _jetson_over_current(root: Root) -> Counters:
    files = paths(root, "sys/class/hwmon/hwmon*/oc*_event_cnt")
    return {"/".join(path.split("/")[3:]): read_int(root, path) for path in files}


def _processor_cooling(root: Root) -> Counters:
    """Levels of the cooling devices that slow a processor; not the fans, which are cooling devices too."""
    levels: Counters = {}
    for folder in paths(root, "sys/class/thermal/cooling_device*"):
        kind = read(root, f"{folder}/type") or ""
        if "cpufreq" in kind or kind == "Processor":
            levels[f"{kind}/{folder.rsplit('device', 1)[1]}"] = read_int(root, f"{folder}/cur_state")
    return levels


def _raspberry_pi_firmware(root: Root) -> Counters:
    """Bits that the firmware sets and keeps until the next boot, printed in hexadecimal."""
    if read(root, _RASPBERRY_PI) is None:
        return {}
    return {"firmware/get_throttled": read_int(root, _RASPBERRY_PI, 16)}


SOURCES: Tuple[Callable[[Root], Counters], ...] = (
    _x86_thermal,
    _jetson_over_current,
    _processor_cooling,
    _raspberry_pi_firmware,
    quota_counters,
)
