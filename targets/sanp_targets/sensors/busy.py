"""How busy each processor is, whoever uses it, and how long anybody waited for one."""

from __future__ import annotations

import re
from typing import Dict, Optional

from sanp_targets.pseudo_files import Root, read

# Of `cpu0 user nice system idle iowait irq softirq steal ...`. Guests are in `user`; stolen time is told apart.
_BUSY = (1, 2, 3, 6, 7)
_TOTAL = re.compile(r"(?m)^some\s.*\btotal=(\d+)")


def busy_ticks(root: Root) -> Dict[str, int]:
    """ "cpu3" -> ticks of 1/100 s since boot in which somebody computed there, interrupts included."""
    found = {}
    for line in (read(root, "proc/stat") or "").splitlines():
        fields = line.split()
        named = fields[:1] and re.fullmatch(r"cpu\d+", fields[0])
        if named and len(fields) > max(_BUSY) and all(fields[index].isdigit() for index in _BUSY):
            found[fields[0]] = sum(int(fields[index]) for index in _BUSY)
    return found


def waited_us(root: Root) -> Optional[int]:
    """Microseconds since boot in which at least one task waited for a processor; None where the kernel keeps none."""
    found = _TOTAL.search(read(root, "proc/pressure/cpu") or "")
    return int(found.group(1)) if found else None
