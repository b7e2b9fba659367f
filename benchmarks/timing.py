"""Interleaved timing of functions in one thread, and what is kept of the times."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

from benchmarks.wide_registers import run_once

Run = Callable[[], object]


def interleaved_seconds(runs: Sequence[Run], rounds: int, batch_seconds: float = 4e-3) -> list[list[float]]:
    """Seconds per call of each function, in rounds that visit all of them, so that drift hits them alike.

    The clock is the processor time of the thread: another process on the core does not count.
    """
    clock = time.thread_time
    repeats = []
    for run in runs:
        run_once(run)
        begin = clock()
        run()
        repeats.append(max(1, math.ceil(batch_seconds / max(clock() - begin, 1e-7))))
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, repeat, kept in zip(runs, repeats, times):
            begin = clock()
            for _ in range(repeat):
                run()
            kept.append((clock() - begin) / repeat)
    return times


def in_turn(runs: Iterable[Run]) -> Run:
    """A function whose calls go to these one after the other."""
    turns = itertools.cycle(list(runs))
    return lambda: next(turns)()  # noqa: PLW0108


def spread(times: list[float]) -> dict[str, float | int]:
    """Median and quartiles in microseconds."""
    q1, median, q3 = statistics.quantiles(times, n=4)
    return {"median_us": median * 1e6, "q1_us": q1 * 1e6, "q3_us": q3 * 1e6, "n": len(times)}
