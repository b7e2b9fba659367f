"""The processor time that a container may use, and how often the kernel stopped it (cgroup v1 and v2)."""

from __future__ import annotations

from typing import Dict, List, Optional

from sanp_targets.pseudo_files import Root, read, read_int

_ROOT = "sys/fs/cgroup"
# Counters of cpu.stat: periods in which the group was stopped, and for how long, in microseconds or nanoseconds.
_COUNTERS = ("nr_throttled", "throttled_usec", "throttled_time")

_V1_FILES = ("cpu.stat", "cpu.cfs_quota_us")


def cpu_limit(root: Root) -> Optional[float]:
    """Processors that this process may use at once, the least of all groups around it; None without a limit."""
    limits = [limit for limit in (_limit(root, folder) for folder in _folders(root)) if limit is not None]
    return min(limits, default=None)


def quota_counters(root: Root) -> Dict[str, Optional[int]]:
    """Periods in which the kernel stopped the groups around this process, and for how long, summed over them."""
    found: Dict[str, Optional[int]] = {}
    for folder in _folders(root):
        for line in (read(root, f"{folder}/cpu.stat") or "").splitlines():
            key, _, value = line.partition(" ")
            if key in _COUNTERS and value.strip().isdigit():
                name = f"cgroup/{key}"
                found[name] = (found.get(name) or 0) + int(value)
    return found


def _folders(root: Root) -> List[str]:
    """Folders of the groups of this process, from the own one to the outermost."""
    folders: List[str] = []
    for line in (read(root, "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        # v2 has one tree; v1 has one for the controller, whose folder has the name of all that share it, or a link.
        for base in [_ROOT] if not controllers else _v1_base(root, controllers):
            parts = [part for part in place.split("/") if part not in ("", "..")]
            folders += ["/".join([base, *parts[:count]]) for count in range(len(parts), -1, -1)]
    return folders


def _v1_base(root: Root, controllers: str) -> List[str]:
    places = [f"{_ROOT}/{controllers}", f"{_ROOT}/cpu"]
    return [place for place in places if any(read(root, f"{place}/{file}") for file in _V1_FILES)][:1]


def _limit(root: Root, folder: str) -> Optional[float]:
    fields = (read(root, f"{folder}/cpu.max") or "").split()
    if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]):
        return int(fields[0]) / int(fields[1])
    quota, period = read_int(root, f"{folder}/cpu.cfs_quota_us"), read_int(root, f"{folder}/cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None
