"""Rails of a Jetson from the power monitors INA3221 (three channels) and INA238 (the input of a Thor)."""

from __future__ import annotations

from typing import Dict

from sanp_targets.pseudo_files import Root, paths, read, read_int

# Channels 4 to 7 of an INA3221 are shunt voltages and their sum, not rails; "NC" is a channel without a rail.
_CHANNELS = (1, 2, 3)
_NOT_A_RAIL = ("NC", "sum of shunt voltages")
# The INA238 has no label; tegrastats calls the input of the board so.
_INPUT = "VIN"


def rails_mw(root: Root = "/") -> Dict[str, float]:
    """Rail -> milliwatts now; a rail of which a number cannot be read is left out."""
    found: Dict[str, float] = {}
    for folder in paths(root, "sys/class/hwmon/hwmon*"):
        name = read(root, f"{folder}/name")
        if name == "ina3221":
            found.update(_ina3221(root, folder))
        elif name == "ina238":
            microwatts = read_int(root, f"{folder}/power1_input")
            if microwatts is not None:
                found[_INPUT] = microwatts / 1000.0
    return found


def _ina3221(root: Root, folder: str) -> Dict[str, float]:
    rails = {}
    for channel in _CHANNELS:
        label = read(root, f"{folder}/in{channel}_label")
        volts, amps = (read_int(root, f"{folder}/{kind}{channel}_input") for kind in ("in", "curr"))
        if label is not None and label not in _NOT_A_RAIL and volts is not None and amps is not None:
            rails[label] = volts * amps / 1000.0  # mV x mA
    return rails
