"""The sensors that are read: a new kind is a file, a field of `Reading` and a line here."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

from sanp_targets.pseudo_files import Root
from sanp_targets.sensors.busy import busy_ticks, waited_us
from sanp_targets.sensors.clock import clocks_mhz
from sanp_targets.sensors.gpu import CLOCK, REASONS, gpu_clocks_mhz, gpu_levels
from sanp_targets.sensors.reading import Reading
from sanp_targets.sensors.steal import steal_ticks, stolen_by_cpu
from sanp_targets.sensors.temperature import temperatures_c
from sanp_targets.sensors.throttle import throttle_counters, throttle_levels, unread_sources

# Field of `Reading` -> its values by name.
SENSORS: Mapping[str, Callable[[Root], Dict[str, Any]]] = {
    "clock_mhz": clocks_mhz,
    "temperature_c": temperatures_c,
    "throttle": throttle_counters,
    "levels": throttle_levels,
    "busy_ticks": busy_ticks,
    "stolen_ticks": stolen_by_cpu,
}
GPU_SENSORS: Mapping[str, Callable[[Root], Dict[str, Any]]] = {"gpu_clock_mhz": gpu_clocks_mhz}
_WORDS = {"clock_mhz": "clock of the processor", "temperature_c": "temperatures", "gpu_clock_mhz": CLOCK}


def read_sensors(root: Root = "/", gpu: bool = False) -> Reading:
    """Read everything this machine (or a fake tree) offers. Takes up to some ms: never inside a timed region.

    gpu: also the GPU, for a measurement that runs there. Every source that a machine of this kind has, and of which
    nothing can be read, is listed as missing by its own name: one that answers does not stand in for another.
    """
    kinds = {name: sensor(root) for name, sensor in {**SENSORS, **(GPU_SENSORS if gpu else {})}.items()}
    missing = [_WORDS[name] for name, values in kinds.items() if name in _WORDS and not values]
    missing += unread_sources(root)
    if gpu:
        found = gpu_levels(root)
        kinds["levels"] = {**kinds["levels"], **found}
        missing += [] if found else [REASONS]
    return Reading(steal_ticks=steal_ticks(root), waited_us=waited_us(root), missing=tuple(missing), **kinds)
