"""Interleaved timing on a GPU: contestants take turns, each turn is one graph of many launches between two events."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

CYCLES_PER_S = 2e9  # of the waiting kernel; no GPU's clock is much higher
HEAD_START = 2.0  # times what Python needs for all launches of a turn


class Contestant:
    """A launch, repeated. The host's share is left out: by a CUDA graph, or by launches that queue behind a wait.

    The queue of a stream holds about a thousand launches; with more in a turn, Python is measured again.
    """

    def __init__(self, run: Callable[[], object], launches: int, use_graph: bool) -> None:
        self._run, self._launches, self.times_us = run, launches, []
        self._graph, self._host_s = None, 0.0
        if use_graph:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream()):
                self._repeat()

    def _repeat(self) -> None:
        for _ in range(self._launches):
            self._run()

    def turn(self) -> None:
        """Times one round."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        if self._graph is None and self._host_s:
            torch.cuda._sleep(int(HEAD_START * self._host_s * CYCLES_PER_S))
        begin.record()
        if self._graph is None:
            started = time.perf_counter()
            self._repeat()
            self._host_s = self._host_s or time.perf_counter() - started  # of the first turn: a full queue would count
        else:
            self._graph.replay()
        end.record()
        end.synchronize()
        self.times_us.append(begin.elapsed_time(end) * 1e3 / self._launches)


def race(
    runs: dict[str, Callable[[], object]],
    rounds: int,
    launches: int,
    use_graph: bool,
    stream: torch.cuda.Stream | None = None,
) -> dict[str, float]:
    """Median microseconds per launch. Everybody runs once in every round, so that clocks and load are shared.

    stream: where they run; one of its own otherwise.
    """
    side = stream or torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for run in runs.values():  # libraries choose their algorithms here, before anything is captured
            for _ in range(3):
                run()
        side.synchronize()
        contestants = {name: Contestant(run, launches, use_graph) for name, run in runs.items()}
        for contestant in contestants.values():
            contestant.turn()
            contestant.times_us.clear()
        for _ in range(rounds):
            for contestant in contestants.values():
                contestant.turn()
    return {name: statistics.median(c.times_us) for name, c in contestants.items()}
