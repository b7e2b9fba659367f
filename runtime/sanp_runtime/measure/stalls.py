"""Rare long stalls, which medians hide: calls that took many times the median of their own sample."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping

import numpy as np

# A call of this many times its median was stopped by something else than its own work.
FACTOR = 5.0
# Stalls that take this share of the time make the mean of a long run differ from the typical latency by as much.
MAX_LOST = 0.02


@dataclass(frozen=True)
class Stalls:
    """Of one engine. count: calls over `factor` times the median of their sample, of `calls`. longest_ms: the longest
    of them, None if there are none. lost_ms: what they took beyond their medians; lost_share: of the time of all calls.
    """

    factor: float
    calls: int
    count: int
    longest_ms: Any
    lost_ms: float
    lost_share: float

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def stalls_of(latency_ms: np.ndarray) -> Stalls:
    """The stalls in latencies [rounds, samples].

    The median is the lower one of two rounds, so that a stall in one of them is not half of it.
    """
    ordered = np.sort(latency_ms, axis=0)
    median = ordered[(len(ordered) - 1) // 2]
    over = latency_ms > FACTOR * median
    lost = float((latency_ms - median)[over].sum())
    return Stalls(
        factor=FACTOR,
        calls=int(latency_ms.size),
        count=int(over.sum()),
        longest_ms=float(latency_ms[over].max()) if over.any() else None,
        lost_ms=lost,
        lost_share=lost / float(latency_ms.sum()),
    )


def stall_reasons(stalls: Mapping[str, Stalls]) -> List[str]:
    """A sentence for each engine whose stalls matter."""
    return [
        f"{row.count} calls of {name} stalled, which took {row.lost_share:.1%} of its time"
        for name, row in stalls.items()
        if row.lost_share > MAX_LOST
    ]
