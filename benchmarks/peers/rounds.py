"""Start one process per engine, check its answers, then let the engines take turns.

Thread pools that wait by spinning would disturb each other inside one process. Between turns a process is stopped by a
signal, so that it cannot spin while another one is measured.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.peers.catalog import Engine
from benchmarks.peers.cores import round_trip
from benchmarks.peers.prepare import Prepared

ANSWER_LIMIT_SECONDS = 300.0
ROOT = Path(__file__).resolve().parents[2]
WRONG = "wrong answers"


@dataclass(frozen=True)
class Ours:
    """The operator library of the rows that are ours, and the instruction set that they ask of it."""

    library: Path
    isa: str = "auto"


class EngineError(Exception):
    """An engine that is not measured, with the reason that the table shows."""


class Process:
    """A worker process that runs one engine; stopped except while it answers."""

    def __init__(self, job: dict[str, Any]) -> None:
        command, pipe = [sys.executable, "-m", "benchmarks.peers.worker"], subprocess.PIPE
        self._errors: list[str] = []
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1, cwd=ROOT)
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        try:
            self.settings = self.ask(job)["settings"]
        except EngineError:
            self.close()
            raise

    def _read_errors(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._errors = [*self._errors[-20:], line.rstrip()]

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one line, return the reply; EngineError with the last words of a process that died or hung."""
        assert self._process.stdin and self._process.stdout
        watchdog = threading.Timer(ANSWER_LIMIT_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self._signal("SIGCONT")
            self._process.stdin.write(json.dumps(message) + "\n")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            code = self._process.wait()
            self._reader.join(5)
            words = next((text for text in reversed(self._errors) if text.strip()), "no message")
            raise EngineError(f"the process ended with {code}: {words[:200]}")
        self._signal("SIGSTOP")
        return json.loads(line)

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self._process.poll() is None:
            self._process.send_signal(getattr(signal, name))

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Process:
        """The process itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self.close()


def cpus_for(threads: int) -> list[int]:
    """The cores that every engine is pinned to: the last ones this process may use."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    return allowed[-threads:]


def checked(process: Process, engine: Engine, prepared: Prepared) -> dict[str, float]:
    """The error of an engine's answers and how often it names the true class; EngineError if the error is too large."""
    answers = np.array(process.ask({"do": "answer"})["logits"], np.float64)
    truth = prepared.truth[engine.oracle].astype(np.float64)
    error = engine.error(answers, truth)
    if not error <= engine.tolerance:
        raise EngineError(f"{WRONG}: relative error {error:.1e}, expected at most {engine.tolerance:.0e}")
    return {"error": error, "same_class": engine.agreement(answers, truth)}


def start(engine: Engine, prepared: Prepared, threads: int, ours: Ours) -> tuple[Process, dict[str, float]]:
    """A loaded engine whose answers are right, and how close they are: `error` and `same_class`."""
    key = engine.runtime, engine.model
    if key in prepared.missing:
        raise EngineError(prepared.missing[key])
    process = Process(
        {
            "runtime": engine.runtime,
            "model": str(prepared.models[key]),
            "feeds": str(prepared.feeds[engine.model]),
            "threads": threads,
            "cpus": cpus_for(threads),
            "ours": {"library": str(ours.library), "isa": ours.isa} if engine.ours else None,
        }
    )
    try:
        return process, checked(process, engine, prepared)
    except EngineError:
        process.close()
        raise


def measure(
    engines: Iterable[Engine], prepared: Prepared, threads: int, ours: Ours, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Every engine at one number of threads: its timing, or under `not_measured` the reason why there is none.

    A round visits all engines, for about `seconds` each, and starts with another engine than the last one. Before and
    after a turn of several threads the distance of two of the cores is measured; the longer one counts.
    """
    distance = round_trip(cpus_for(threads))
    results: dict[str, dict[str, Any]] = {}
    running: dict[str, Process] = {}
    turns: dict[str, list[dict]] = {}
    try:
        for engine in engines:
            try:
                running[engine.name], closeness = start(engine, prepared, threads, ours)
                results[engine.name] = {**closeness, "settings": running[engine.name].settings}
                turns[engine.name] = []
            except EngineError as reason:
                results[engine.name] = {"not_measured": str(reason)}
        names = list(running)
        for turn in range(rounds):
            shift = turn % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                turns[name].append(_turn(running[name], seconds, distance))
    finally:
        for process in running.values():
            process.close()
    return {name: result | _summary(turns[name]) if name in turns else result for name, result in results.items()}


def _turn(process: Process, seconds: float, distance: Callable[[], float] | None) -> dict[str, Any]:
    message = {"do": "time", "seconds": seconds}
    if distance is None:
        return process.ask(message)
    before = distance()
    return {**process.ask(message), "round_trip_ns": max(before, distance())}


def _summary(turns: list[dict]) -> dict[str, Any]:
    """Median and quartiles of all calls in milliseconds, processor time per call, preemptions per second.

    With several threads also the median and the round trip between two cores of every turn.
    """
    wall = [value for turn in turns for value in turn["wall_ms"]]
    q1, median, q3 = statistics.quantiles(wall, n=4)
    apart = [turn["round_trip_ns"] for turn in turns if "round_trip_ns" in turn]
    medians = [statistics.median(turn["wall_ms"]) for turn in turns]
    return {
        **({"turn_ms": medians, "round_trip_ns": apart} if apart else {}),
        "median_ms": median,
        "q1_ms": q1,
        "q3_ms": q3,
        "min_ms": min(wall),
        "calls": len(wall),
        "cpu_ms": statistics.median(turn["cpu_ms"] for turn in turns),
        "preempted_per_s": sum(turn["preempted"] for turn in turns) / (sum(wall) / 1e3),
    }
