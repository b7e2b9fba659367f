"""Runs stages one after the other, each in its own process under a time limit, and goes on whatever happens to one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.command_line import write_json
from benchmarks.gpu.visit.entry import Entry
from benchmarks.gpu.visit.record import FAILED, OK, RUNNING, SKIPPED, TIMED_OUT, read

ROOT = Path(__file__).resolve().parents[3]
LOG_TAIL = 4000


@dataclass
class Runner:
    """The stages of one command. budget: seconds for all of them.

    facts: go into every file; results with other ones are not continued. noted: goes into every file as well.
    """

    output: Path
    budget: float
    rehearse: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    noted: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    after_each: Callable[[], None] = lambda: None

    def run(self, entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
        """Run what is not done yet; the content of every stage's file by name."""
        begin, found = time.monotonic(), {}
        for entry in entries:
            left = self.budget - (time.monotonic() - begin)
            earlier = read(self.output / f"{entry.name}.json")
            if earlier is not None and self._is_done(earlier):
                found[entry.name] = earlier
                continue
            if left < entry.least:
                reason = f"{max(left, 0.0):.0f} s of the budget were left, expected at least {entry.least:.0f} s"
                keep = earlier is not None and bool(earlier["numbers"]) and self._is_same(earlier)
                found[entry.name] = earlier if keep else self._write(entry, SKIPPED, reason, 0.0)
            else:
                found[entry.name] = self._run_one(entry, min(entry.seconds, left))
            print(f"{entry.name}: {found[entry.name]['status']} {found[entry.name]['reason']}".rstrip(), flush=True)
            self.after_each()
        return found

    def _is_done(self, earlier: dict[str, Any]) -> bool:
        """Whether an earlier command ended this stage well, with the same sources."""
        return earlier["status"] == OK and self._is_same(earlier)

    def _is_same(self, earlier: dict[str, Any]) -> bool:
        return all(earlier["facts"].get(key) == value for key, value in self.facts.items())

    def _run_one(self, entry: Entry, seconds: float) -> dict[str, Any]:
        log = self.output / f"{entry.name}.log"
        path = self.output / f"{entry.name}.json"
        if path.exists():
            path.replace(path.with_name(f"{entry.name}.earlier.json"))
        command = [sys.executable, "-m", "benchmarks.gpu.visit.worker", "--stage", entry.name, "--module", entry.module]
        command += [
            "--output",
            str(self.output),
            "--seconds",
            f"{seconds:.1f}",
            "--facts",
            json.dumps(self.facts | self.noted),
        ]
        command += ["--rehearse"] if self.rehearse else []
        begin = time.monotonic()
        code = _run_limited(command, log, seconds, self.environment)
        return self._conclude(entry, code, seconds, time.monotonic() - begin, log)

    def _conclude(self, entry: Entry, code: int | None, limit: float, wall: float, log: Path) -> dict[str, Any]:
        """The file as the stage left it, with the status that a killed stage could not write itself."""
        found = read(self.output / f"{entry.name}.json")
        if found is None:
            found = self._empty(entry)
        if code is None:
            found.update(status=TIMED_OUT, reason=f"it was stopped after {limit:.0f} s")
        elif code < 0:
            found.update(status=FAILED, reason=f"it was ended by {signal.Signals(-code).name}")
        elif found["status"] == RUNNING:
            found.update(status=FAILED, reason=f"its process ended with code {code} and no result")
        found["wall_s"] = round(wall, 2)
        if found["status"] in (FAILED, TIMED_OUT):
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            found["log_tail"] = text[-LOG_TAIL:]
        write_json(self.output / f"{entry.name}.json", found)
        return found

    def _empty(self, entry: Entry) -> dict[str, Any]:
        return {"stage": entry.name, "status": RUNNING, "reason": "", "facts": self.facts | self.noted, "numbers": {}}

    def _write(self, entry: Entry, status: str, reason: str, wall: float) -> dict[str, Any]:
        content = {**self._empty(entry), "status": status, "reason": reason, "wall_s": wall}
        write_json(self.output / f"{entry.name}.json", content)
        return content


def _run_limited(command: list[str], log: Path, seconds: float, environment: dict[str, str]) -> int | None:
    """The exit code, None after the limit. The command and all it started are gone afterwards."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
