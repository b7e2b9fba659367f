"""Temperatures of thermal zones and of hardware monitors."""

from __future__ import annotations

from typing import Dict, Optional

from sanp_targets.pseudo_files import Root, paths, read, read_int

# Zones that are powered down report values such as -256 degrees.
_PLAUSIBLE_C = (-40.0, 150.0)


def temperatures_c(root: Root) -> Dict[str, float]:
    """Degrees Celsius by zone ("cpu-thermal/0") or by sensor of a chip ("coretemp/temp1"), where plausible."""
    found: Dict[str, Optional[int]] = {}
    for folder in paths(root, "sys/class/thermal/thermal_zone*"):
        name = f"{read(root, f'{folder}/type') or 'zone'}/{folder.rsplit('zone', 1)[1]}"
        found[name] = read_int(root, f"{folder}/temp")
    for path in paths(root, "sys/class/hwmon/hwmon*/temp*_input"):
        folder, file = path.rsplit("/", 1)
        chip = read(root, f"{folder}/name") or folder.rsplit("/", 1)[1]
        found[f"{chip}/{file[: -len('_input')]}"] = read_int(root, path)
    known = {name: value / 1000.0 for name, value in found.items() if value is not None}
    return {name: value for name, value in known.items() if _PLAUSIBLE_C[0] < value < _PLAUSIBLE_C[1]}
