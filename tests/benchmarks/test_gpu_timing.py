"""Timing without graphs: the GPU waits until Python has queued every launch of a turn."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks.gpu import timing


def test_launches_queue_behind_a_wait_that_is_longer_than_python(monkeypatch):
    """The turn that warms up measures Python; every later one waits first, and the wait is outside of the events."""
    said = []

    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self):
            said.append("event")

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return 1.0

    def sleep(cycles):
        assert cycles / timing.CYCLES_PER_S > 1.5 * 0.02, "the GPU would be idle before the last launch"
        said.append("wait")

    def launch():
        time.sleep(0.01)
        said.append("launch")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", sleep)
    contestant = timing.Contestant(launch, 2, use_graph=False)
    contestant.turn()
    assert said == ["event", "launch", "launch", "event"]
    said.clear()
    contestant.turn()
    assert said == ["wait", "event", "launch", "launch", "event"]
    assert contestant.times_us == pytest.approx([500.0, 500.0])
