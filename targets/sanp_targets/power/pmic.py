"""Rails of a Raspberry Pi 5 from its power management chip, as `vcgencmd pmic_read_adc` prints them."""

from __future__ import annotations

import re
from typing import Dict

_LINE = re.compile(r"(?m)^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=([\d.]+)[AV]\s*$")


def parse(text: str) -> Dict[str, float]:
    """Rail -> milliwatts, for rails of which current and voltage are there.

    The input EXT5V has a voltage alone, so that what USB devices draw and the losses of the chip are in no rail.
    """
    values: Dict[str, Dict[str, float]] = {"A": {}, "V": {}}
    for rail, kind, value in _LINE.findall(text):
        try:
            values[kind][rail] = float(value)
        except ValueError:  # "1.2.3"
            continue
    return {rail: amps * values["V"][rail] * 1000.0 for rail, amps in values["A"].items() if rail in values["V"]}
