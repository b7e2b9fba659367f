"""Processor time that a hypervisor gave to others."""

from __future__ import annotations

import re
from typing import Dict, Optional

from sanp_targets.pseudo_files import Root, read

_STEAL_FIELD = 8  # of the line `cpu  user nice system idle iowait irq softirq steal ...`


def stolen_by_cpu(root: Root) -> Dict[str, int]:
    """ "cpu3" -> ticks of 1/100 s since boot that were stolen from this processor."""
    found = {}
    for line in (read(root, "proc/stat") or "").splitlines():
        fields = line.split()
        named = fields[:1] and re.fullmatch(r"cpu\d+", fields[0])
        if named and len(fields) > _STEAL_FIELD and fields[_STEAL_FIELD].isdigit():
            found[fields[0]] = int(fields[_STEAL_FIELD])
    return found


def steal_ticks(root: Root) -> Optional[int]:
    """Ticks of 1/100 s since boot, summed over processors; None if the system does not tell."""
    fields = (read(root, "proc/stat") or "").split("\n", 1)[0].split()
    known = fields[:1] == ["cpu"] and len(fields) > _STEAL_FIELD and fields[_STEAL_FIELD].isdigit()
    return int(fields[_STEAL_FIELD]) if known else None
