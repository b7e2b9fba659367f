"""The power modes of a Jetson: names in the configuration of nvpmodel, and which one is active. Files only."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional

from sanp_targets.pseudo_files import Root, read

_MODE = re.compile(r"(?m)^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_ACTIVE = re.compile(r"pmode:(\d+)")


def power_modes(root: Root = "/") -> Dict[int, str]:
    """Number -> name of every mode. The numbers differ between modules and between releases; the names are stable."""
    return {int(number): name for number, name in _MODE.findall(read(root, "etc/nvpmodel.conf") or "")}


def active_mode(root: Root = "/") -> Optional[int]:
    """Number of the active mode; None where nvpmodel has written none."""
    found = _ACTIVE.search(read(root, "var/lib/nvpmodel/status") or "")
    return int(found.group(1)) if found else None


def power_mode(root: Root = "/") -> Optional[str]:
    """Name of the active mode, as "15W"; the text of its status where the name is not known; None without a mode."""
    number = active_mode(root)
    return power_modes(root).get(number) if number in power_modes(root) else read(root, "var/lib/nvpmodel/status")


def describe_power_mode(root: Root = "/") -> Optional[Dict[str, Any]]:
    """{"id", "name" (None if not known), "names" (of all modes)}; None on a machine without power modes."""
    number, modes = active_mode(root), power_modes(root)
    if number is None and not modes:
        return None
    return {"id": number, "name": modes.get(number) if number is not None else None, "names": sorted(modes.values())}
