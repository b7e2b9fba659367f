"""The JSON file of one stage, written again whenever a number is known, so that a killed stage keeps what it found."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.command_line import write_json

RUNNING, OK, FAILED, TIMED_OUT, SKIPPED = "running", "ok", "failed", "timed out", "skipped"


class Record:
    """Status, facts and numbers of a stage. seconds: how long it may take; see `seconds_left`."""

    def __init__(self, path: Path, stage: str, seconds: float, facts: dict[str, Any]) -> None:
        self.path, self._end = path, time.monotonic() + seconds
        self.content: dict[str, Any] = {"stage": stage, "status": RUNNING, "reason": "", "facts": facts, "numbers": {}}
        self.write()

    @property
    def numbers(self) -> dict[str, Any]:
        """What the stage has found so far."""
        return self.content["numbers"]

    def seconds_left(self) -> float:
        """Until the stage is killed; one that stops by itself before that keeps its conclusions."""
        return self._end - time.monotonic()

    def note(self, **numbers: Any) -> None:
        """Add or replace numbers, and write."""
        self.numbers.update(numbers)
        self.write()

    def append(self, name: str, row: Any) -> None:
        """Add a row to a list of the numbers, and write."""
        self.numbers.setdefault(name, []).append(row)
        self.write()

    def end(self, status: str, reason: str = "") -> None:
        """Set the status, and write."""
        self.content.update(status=status, reason=reason)
        self.write()

    def write(self) -> None:
        """The file as a whole or not at all."""
        write_json(self.path, self.content)


def read(path: Path) -> dict[str, Any] | None:
    """The content of a stage's file; None where there is none or it is no JSON."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "status" in found else None
