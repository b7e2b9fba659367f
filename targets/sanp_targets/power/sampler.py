"""Read a meter of power beside other work, and what the samples of a window say.

The sampling thread keeps off the processors that are measured where there are others. Latencies are never taken while
it runs: energy has windows of its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from sanp_targets.power.meters import ENERGY, Meter


@dataclass
class Trace:
    """The samples of a window: seconds since an arbitrary time, and rail -> milliwatts or counter in microjoules.

    start_s, end_s: the window, on the same clock.
    """

    meter: Meter
    start_s: float = 0.0
    end_s: float = 0.0
    times_s: List[float] = field(default_factory=list)
    values: List[Mapping[str, float]] = field(default_factory=list)

    @property
    def window_s(self) -> float:
        """Length of the window."""
        return self.end_s - self.start_s

    def watts(self) -> Dict[str, float]:
        """Rail -> mean power in the window, of the rails that every sample has.

        Of power it is the mean of the samples; of a counter what it rose by between the first and the last sample, over
        the time between these two.
        """
        if not self.values:
            return {}
        rails = [name for name in self.values[0] if all(name in row for row in self.values)]
        if self.meter.kind == ENERGY:
            between = self.times_s[-1] - self.times_s[0]
            return {name: self._rise(name) / 1e6 / between for name in rails} if between > 0 else {}
        return {name: sum(row[name] for row in self.values) / len(self.values) / 1000.0 for name in rails}

    def total_watts(self) -> Optional[float]:
        """Mean power of the rails that make the total; None if one of them was not read."""
        watts = self.watts()
        if not all(name in watts for name in self.meter.total):
            return None
        return sum(watts[name] for name in self.meter.total)

    def _rise(self, name: str) -> float:
        """What a counter rose by; at the end of its range it goes on at zero."""
        whole = 0.0
        for before, after in zip(self.values, self.values[1:]):
            step = after[name] - before[name]
            if step < 0:
                step += self.meter.ranges.get(name) or 0
            whole += max(step, 0.0)
        return whole


@contextlib.contextmanager
def sampling(meter: Meter, interval_s: float, avoid: Optional[Sequence[int]] = None) -> Iterator[Trace]:
    """Take samples while the block runs; the trace is complete once it has been left.

    avoid: processors that the samples should not be taken on.
    """
    trace, done = Trace(meter), threading.Event()
    work = _lines if meter.stream else _polls
    thread = threading.Thread(target=_elsewhere, args=(work(trace, interval_s, done), avoid), daemon=True)
    trace.start_s = time.monotonic()
    thread.start()
    try:
        yield trace
    finally:
        trace.end_s = time.monotonic()
        done.set()
        thread.join()
        _cut(trace)


def _elsewhere(work: Callable[[], None], avoid: Optional[Sequence[int]]) -> None:
    """Run on other processors than these, if there are some."""
    if avoid is not None and hasattr(os, "sched_setaffinity"):
        others = set(range(os.cpu_count() or 1)) - set(avoid)
        with contextlib.suppress(OSError):
            if others:
                os.sched_setaffinity(0, others)  # of this thread alone
    work()


def _polls(trace: Trace, interval_s: float, done: threading.Event) -> Callable[[], None]:
    def work() -> None:
        due = time.monotonic()
        while True:
            values = dict(trace.meter.read())
            if values:
                trace.values.append(values)
                trace.times_s.append(time.monotonic())
            due = max(due + interval_s, time.monotonic())
            if done.wait(due - time.monotonic()):
                return

    return work


def _lines(trace: Trace, interval_s: float, done: threading.Event) -> Callable[[], None]:
    """The process prints by itself; it is ended with the window, and no other process of that name is touched."""

    def work() -> None:
        try:
            process = subprocess.Popen(
                list(trace.meter.stream), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            return
        threading.Thread(target=_end_with, args=(process, done), daemon=True).start()
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                values = dict(trace.meter.parse(line))
                if values and not done.is_set():
                    trace.values.append(values)
                    trace.times_s.append(time.monotonic())

    return work


def _end_with(process: "subprocess.Popen[str]", done: threading.Event) -> None:
    done.wait()
    process.terminate()


def _cut(trace: Trace) -> None:
    """Leave out samples that were taken after the window."""
    kept = [index for index, when in enumerate(trace.times_s) if when <= trace.end_s]
    trace.values = [trace.values[index] for index in kept]
    trace.times_s = [trace.times_s[index] for index in kept]
