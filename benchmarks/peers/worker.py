"""One engine in a process of its own: it answers and times itself when the driver asks. Started by rounds.py.

The first line on stdin is the job; each further line is a command. Every line gets one line of JSON on stdout.

    {"runtime": ..., "model": ..., "feeds": ..., "threads": ..., "cpus": [...], "ours": null or {"library", "isa"}}
    {"do": "answer"}                     -> {"logits": one list per input set}
    {"do": "time", "seconds": 0.2}       -> {"wall_ms": [...], "cpu_ms": mean, "preempted": count}
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines import RUNTIMES
from benchmarks.wide_registers import run_once

MIN_CALLS = 3
_PR_SET_PDEATHSIG = 1


def read_feeds(path: Path) -> list[dict[str, np.ndarray]]:
    """Input sets from an npz file whose arrays stack them along the first axis."""
    with np.load(path) as stacked:
        arrays = dict(stacked)
    return [{key: array[i] for key, array in arrays.items()} for i in range(len(arrays["x"]))]


class Worker:
    """A loaded engine, and where it is in the cycle of input sets."""

    def __init__(self, job: dict[str, Any]) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, job["cpus"])
        feeds = read_feeds(Path(job["feeds"]))
        extra = {"library": Path(job["ours"]["library"]), "isa": job["ours"]["isa"]} if job["ours"] else {}
        self.engine = RUNTIMES[job["runtime"]](Path(job["model"]), feeds, job["threads"], **extra)
        self._sets, self._next = len(feeds), 0

    def answer(self) -> dict[str, Any]:
        """Logits of every input set."""
        return {"logits": [self.engine.logits(i).tolist() for i in range(self._sets)]}

    def time(self, seconds: float) -> dict[str, Any]:
        """Milliseconds of each call for about `seconds`, and processor time of all threads per call.

        The first call is not counted: it brings the weights back into the caches, where they are when an engine has the
        machine to itself.
        """
        if self.engine.registers_tell:
            run_once(self._step)
        else:
            self._step()
        wall = []
        preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        cpu, start = time.process_time(), time.perf_counter()
        before = start
        while len(wall) < MIN_CALLS or before - start < seconds:
            self._step()
            after = time.perf_counter()
            wall.append((after - before) * 1e3)
            before = after
        cpu_ms = (time.process_time() - cpu) * 1e3 / len(wall)
        preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - preempted
        return {"wall_ms": wall, "cpu_ms": cpu_ms, "preempted": preempted}

    def _step(self) -> None:
        self.engine.run(self._next)
        self._next = (self._next + 1) % self._sets


def die_with_parent() -> None:
    """A stopped process cannot notice that its driver is gone; on Linux the kernel can be asked to end it then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Serve until stdin ends."""
    die_with_parent()
    # Runtimes print; whatever they say must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(json.loads(sys.stdin.readline()))
    gc.disable()
    print(json.dumps({"settings": worker.engine.settings}), file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        reply = worker.answer() if command["do"] == "answer" else worker.time(command["seconds"])
        print(json.dumps(reply), file=answers)


if __name__ == "__main__":
    main()
