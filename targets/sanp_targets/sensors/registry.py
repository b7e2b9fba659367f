"""The sensors that are read: a new kind is a file, a field of `Reading` and a line here."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

from sanp_targets.pseudo_files import Root
from sanp_targets.sensors.clock import clocks_mhz
from sanp_targets.sensors.reading import Reading
from sanp_targets.sensors.steal import steal_ticks
from sanp_targets.sensors.temperature import temperatures_c
from sanp_targets.sensors.throttle import throttle_counters

# Field of `Reading` -> its values by name; a kind without any is listed as missing.
SENSORS: Mapping[str, Callable[[Root], Dict[str, Any]]] = {
    "clock_mhz": clocks_mhz,
    "temperature_c": temperatures_c,
    "throttle": throttle_counters,
}


def read_sensors(root: Root = "/") -> Reading:
    """Read everything this machine (or a fake tree) offers. Takes up to some ms: never inside a timed region."""
    kinds = {name: sensor(root) for name, sensor in SENSORS.items()}
    missing = tuple(name for name, values in kinds.items() if not values)
    return Reading(steal_ticks=steal_ticks(root), missing=missing, **kinds)
