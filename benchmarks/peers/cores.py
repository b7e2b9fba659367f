"""How far apart two cores are. A hypervisor may run two virtual cores on one chip, and seconds later on two.

Two threads hand cache lines to each other, so they are as fast as the way between them is short; what that does to
gated and dense networks is in benchmarks/results/README.md.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.compiled import compiled

# Longer round trips leave the chip, or the cluster of cores that share a cache.
NEAR_NS = 150.0


def round_trip(cpus: list[int]) -> Callable[[], float] | None:
    """A function that measures nanoseconds between the last two of these cores, or None where it cannot be built."""
    if len(cpus) < 2 or not sys.platform.startswith("linux"):
        return None
    try:
        function = compiled(Path(__file__).with_name("round_trip.cc")).sanp_round_trip_ns
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the distance of two cores is not measured, its library was not built: {error}", file=sys.stderr)
        return None
    function.restype = ctypes.c_double
    return lambda: float(function(cpus[-2], cpus[-1]))
