"""Clock of the GPU, and why it is slower than it could be: devfreq on boards, NVML (the driver's library) elsewhere."""

from __future__ import annotations

import ctypes
import os
import re
from typing import Any, Dict, Optional, Tuple

from sanp_targets.pseudo_files import Root, paths, read, read_int

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
_LIBRARY = "libnvidia-ml.so.1"


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


def _nvml(root: Root) -> Optional[Tuple[Dict[str, float], Dict[str, int]]]:
    """Clock and reasons of the GPU that CUDA uses first; None without the driver, and under the root of a fake tree."""
    library = _open() if str(root) == "/" else None
    if library is None or library.nvmlInit_v2() != 0:
        return None
    try:
        index = _first_visible()
        device = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) != 0:
            return None
        clock, reasons = ctypes.c_uint(), ctypes.c_ulonglong()
        clocks, levels = {}, {}
        if library.nvmlDeviceGetClockInfo(device, ctypes.c_int(_SM_CLOCK), ctypes.byref(clock)) == 0:
            clocks[f"gpu{index}"] = float(clock.value)
        if library.nvmlDeviceGetCurrentClocksThrottleReasons(device, ctypes.byref(reasons)) == 0:
            levels = {f"gpu{index}/{name}": int(bool(reasons.value & bit)) for bit, name in _NVML_REASONS.items()}
        return clocks, levels
    except AttributeError:  # a driver without one of the functions
        return None
    finally:
        library.nvmlShutdown()


def _first_visible() -> int:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return int(first) if first.isdigit() else 0


def _open() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
