"""One line of the list of stages, and how a stage says that it has nothing to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A stage: its name, the module whose `run(place, record)` it is, and its share of the visit in seconds.

    seconds: at most this long. least: with less time left it is not begun.
    """

    name: str
    module: str
    seconds: float
    least: float = 10.0


class Skipped(Exception):
    """Raised by a stage that cannot run here; the text says what is missing."""
