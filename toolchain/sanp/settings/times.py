"""Times as people write them, with their unit: "2.5ms"."""

from __future__ import annotations

import re

_MS = {"s": 1000.0, "ms": 1.0, "us": 0.001, "µs": 0.001}


def milliseconds(text: str) -> float:
    """The time in "2.5ms", "800us" or "0.01s", in ms; ValueError, worded for settings, without number or unit."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(s|ms|us|µs)\s*", str(text))
    if found is None or not float(found[1]) > 0:
        raise ValueError("Value should be a positive time with its unit, such as 2.5ms or 800us")
    return float(found[1]) * _MS[found[2]]
