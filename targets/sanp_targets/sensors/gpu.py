"""Clock of the GPU, what decides about it and what slows it down: devfreq on boards, NVML elsewhere."""

from __future__ import annotations

import ctypes
import re
from typing import Any, Dict, Optional, Tuple

from sanp_targets.pseudo_files import Root, paths, read, read_int
from sanp_targets.sensors import nvml

CLOCK, REASONS = "clock of the GPU", "throttle reasons of the GPU"
_GPU = re.compile(r"gpu|gp10b|gv11b|ga10b|gb10b", re.IGNORECASE)
# Bits of nvmlClocksThrottleReasons that slow the GPU down against its user's will; idle, fixed clocks and the display
# are none of them.
_NVML_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
_SM_CLOCK = 1


def gpu_clocks_mhz(root: Root) -> Dict[str, float]:
    """MHz by devfreq device ("17000000.gpu"), or "gpu0" from NVML."""
    clocks = {}
    for folder in paths(root, "sys/class/devfreq/*"):
        name, hertz = folder.rsplit("/", 1)[1], read_int(root, f"{folder}/cur_freq")
        if _GPU.search(name) and hertz is not None and hertz > 0:
            clocks[name] = hertz / 1e6
    if clocks:
        return clocks
    with_driver = _nvml(root)
    return {} if with_driver is None else with_driver[0]


def gpu_levels(root: Root) -> Dict[str, int]:
    """Levels of the cooling devices that slow a GPU, or NVML's reasons as 0 and 1: 0 = does not slow it now."""
    levels = {}
    for folder in paths(root, "sys/class/thermal/cooling_device*"):
        kind = read(root, f"{folder}/type") or ""
        state = read_int(root, f"{folder}/cur_state")
        if state is not None and ("devfreq" in kind or _GPU.search(kind)) and "fan" not in kind:
            levels[f"{kind}/{folder.rsplit('device', 1)[1]}"] = state
    if levels:
        return levels
    with_driver = _nvml(root)
    return {} if with_driver is None else with_driver[1]


def gpu_governor(root: Root = "/") -> Dict[str, Dict[str, Any]]:
    """What decides about the clock of each GPU; a value that cannot be read is None.

    Of a board: devfreq device -> {"governor", "min_mhz", "max_mhz", "fixed"}; fixed: the clock has nowhere to go.
    Elsewhere NVML: "gpu0" -> {"persistence", "application_mhz"}.
    """
    found: Dict[str, Dict[str, Any]] = {}
    for folder in paths(root, "sys/class/devfreq/*"):
        name = folder.rsplit("/", 1)[1]
        if not _GPU.search(name):
            continue
        governor = read(root, f"{folder}/governor")
        low, high = (read_int(root, f"{folder}/{limit}_freq") for limit in ("min", "max"))
        known = None if governor is None and (low is None or high is None) else False
        fixed = True if governor == "performance" or (low is not None and low == high) else known
        limits = {"min_mhz": None if low is None else low / 1e6, "max_mhz": None if high is None else high / 1e6}
        found[name] = {"governor": governor, **limits, "fixed": fixed}
    return found or nvml.governor(root)


def _nvml(root: Root) -> Optional[Tuple[Dict[str, float], Dict[str, int]]]:
    """Clock and reasons of the GPU that CUDA uses first."""
    return nvml.ask(root, _clock_and_reasons)


def _clock_and_reasons(library: Any, device: Any, name: str) -> Tuple[Dict[str, float], Dict[str, int]]:
    clock, reasons = ctypes.c_uint(), ctypes.c_ulonglong()
    clocks, levels = {}, {}
    if library.nvmlDeviceGetClockInfo(device, ctypes.c_int(_SM_CLOCK), ctypes.byref(clock)) == 0:
        clocks[name] = float(clock.value)
    if library.nvmlDeviceGetCurrentClocksThrottleReasons(device, ctypes.byref(reasons)) == 0:
        levels = {f"{name}/{word}": int(bool(reasons.value & bit)) for bit, word in _NVML_REASONS.items()}
    return clocks, levels
