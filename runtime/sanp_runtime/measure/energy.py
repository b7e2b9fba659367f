"""Power while one engine runs after the other, in windows of their own, so that no latency is disturbed by samples."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from sanp_targets.power import Meter, Trace, sampling

# With fewer samples in a window a mean says little: the monitors of boards have new values every few ms to 100 ms.
MIN_SAMPLES = 20
INTERVAL_S = 0.1
MIN_WINDOW_S = 3.0

Call = Callable[[], Any]


@dataclass(frozen=True)
class Window:
    """What was seen in one window. calls: whole calls in it, 0 while idle; inferences: samples that they computed."""

    trace: Trace
    calls: int
    inferences: int

    def watts(self) -> Optional[float]:
        """Mean power of the total; None from too few samples, or if a rail of it was not read."""
        return self.trace.total_watts() if len(self.trace.values) >= MIN_SAMPLES else None

    def joules(self) -> Optional[float]:
        """Energy of one inference: mean power in the window, times its length, over the inferences in it."""
        watts = self.watts()
        if watts is None or not self.inferences:
            return None
        return watts * self.trace.window_s / self.inferences

    def to_json(self, idle_watts: Optional[float]) -> Dict[str, Any]:
        """Plain JSON. above_idle_j: the same energy of what the power rose by over that of the idle machine."""
        watts, joules, above = self.watts(), self.joules(), None
        if watts is not None and idle_watts is not None and self.inferences:
            above = (watts - idle_watts) * self.trace.window_s / self.inferences
        enough = len(self.trace.values) >= MIN_SAMPLES
        return {
            "window_s": self.trace.window_s,
            "samples": len(self.trace.values),
            "calls": self.calls,
            "inferences": self.inferences,
            "watts": watts,
            "rail_watts": self.trace.watts() if enough else {},
            "inference_j": joules,
            "above_idle_j": above,
        }


def energy_windows(
    callables: Mapping[str, Sequence[Call]],
    meter: Meter,
    window_s: float,
    *,
    batch: int = 1,
    interval_s: float = INTERVAL_S,
    avoid: Optional[Sequence[int]] = None,
) -> Dict[Optional[str], Window]:
    """A window of the idle machine, under None, then one for each engine, whose calls take turns without a pause.

    callables: engine -> one function per sample; batch: samples that a call computes. avoid: the processors that the
    engines run on, which the samples keep off.
    """
    windows: Dict[Optional[str], Window] = {}
    with sampling(meter, interval_s, avoid) as trace:
        time.sleep(window_s)
    windows[None] = Window(trace, 0, 0)
    for name, calls in callables.items():
        for call in calls:  # what is in the caches then is its own
            call()
        count, ends = 0, itertools.cycle(calls)
        with sampling(meter, interval_s, avoid) as trace:
            until = time.monotonic() + window_s
            while time.monotonic() < until:
                next(ends)()
                count += 1
        windows[name] = Window(trace, count, count * batch)
    return windows
