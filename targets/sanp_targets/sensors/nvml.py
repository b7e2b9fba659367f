"""NVML, the driver's library: what it says about the GPU that CUDA uses first, on machines that are no Jetson."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Dict, Optional, TypeVar

from sanp_targets.pseudo_files import Root

Found = TypeVar("Found")

_LIBRARY = "libnvidia-ml.so.1"
_SM_CLOCK = 1


def ask(root: Root, question: Callable[[Any, Any, str], Found]) -> Optional[Found]:
    """The answer of `question(library, device, "gpu0")`; None without the driver or the function that it calls.

    Under the root of a fake tree there is no driver.
    """
    library = open_library() if str(root) == "/" else None
    if library is None or library.nvmlInit_v2() != 0:
        return None
    try:
        index = _first_visible()
        device = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) != 0:
            return None
        return question(library, device, f"gpu{index}")
    except AttributeError:  # a driver without one of the functions
        return None
    finally:
        library.nvmlShutdown()


def governor(root: Root) -> Dict[str, Dict[str, Any]]:
    """ "gpu0" -> {"persistence", "application_mhz"}: None for what cannot be read; empty without the driver."""
    return ask(root, _governor) or {}


def energy_mj(root: Root) -> Dict[str, int]:
    """ "gpu0" -> millijoules since the driver was loaded; empty where it does not count them (before Volta)."""
    return ask(root, _energy) or {}


def _governor(library: Any, device: Any, name: str) -> Dict[str, Dict[str, Any]]:
    state: Dict[str, Any] = {"persistence": None, "application_mhz": None}
    mode, clock = ctypes.c_uint(), ctypes.c_uint()
    try:
        if library.nvmlDeviceGetPersistenceMode(device, ctypes.byref(mode)) == 0:
            state["persistence"] = bool(mode.value)
        if library.nvmlDeviceGetApplicationsClock(device, ctypes.c_int(_SM_CLOCK), ctypes.byref(clock)) == 0:
            state["application_mhz"] = float(clock.value)
    except AttributeError:
        pass
    return {name: state}


def _energy(library: Any, device: Any, name: str) -> Dict[str, int]:
    value = ctypes.c_ulonglong()
    if library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(value)) != 0:
        return {}
    return {name: int(value.value)}


def open_library() -> Any:
    """The library, or None where it is not installed."""
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None


def _first_visible() -> int:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return int(first) if first.isdigit() else 0
