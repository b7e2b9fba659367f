"""Keep a measurement on the same cores: choose the fastest ones that are allowed, and stay there."""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterator, List, Optional, Sequence

from sanp_targets.device import affinity
from sanp_targets.processor import cpuinfo, frequency_policies
from sanp_targets.pseudo_files import Root


def choose_cpus(threads: int, root: Root = "/", allowed: Optional[Sequence[int]] = None) -> Optional[List[int]]:
    """`threads` logical processors, or None if the system does not tell or has fewer.

    The fastest by maximum clock first (big.LITTLE), one thread per physical core before any second one, and high
    numbers before low ones, because interrupts land on processor 0.
    """
    available = list(allowed) if allowed is not None else affinity()
    if available is None or len(available) < threads:
        return None
    clock: Dict[int, float] = {}
    for row in frequency_policies(root):
        clock.update(dict.fromkeys(row["cpus"], row["max_mhz"] or 0.0))
    order = sorted(available, key=lambda cpu: (clock.get(cpu, 0.0), cpu), reverse=True)
    core = {int(b["processor"]): (b.get("physical id"), b.get("core id", b["processor"])) for b in cpuinfo(root)}
    first: Dict[object, int] = {}
    for cpu in order:
        first.setdefault(core.get(cpu, cpu), cpu)
    distinct = list(first.values())
    return (distinct + [cpu for cpu in order if cpu not in distinct])[:threads]


@contextlib.contextmanager
def pinned(cpus: Optional[Sequence[int]]) -> Iterator[bool]:
    """Run the block on these processors; yields whether that worked. Threads started inside inherit the choice."""
    before = affinity()
    if not cpus or before is None:
        yield False
        return
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:  # forbidden in some containers
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)
