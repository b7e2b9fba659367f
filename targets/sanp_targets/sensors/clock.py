"""The frequency that processors run at now."""

from __future__ import annotations

from typing import Dict

from sanp_targets.processor import cpuinfo, is_virtual
from sanp_targets.pseudo_files import Root, paths, read_int


def clocks_mhz(root: Root) -> Dict[str, float]:
    """MHz by cpufreq policy ("policy0"), or by processor ("cpu0") where only /proc/cpuinfo tells."""
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
