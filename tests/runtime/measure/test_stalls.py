"""Rare long stalls: counted against the median of their own sample, never hidden by it, and judged by the time lost."""

from __future__ import annotations

import numpy as np
import pytest

from sanp_runtime.measure.stalls import MAX_LOST, stalls_of
from sanp_runtime.measure.verdict import NOISY, VALID, assess
from tests.runtime.measure.test_timing import FIXED, measurement, steady


def stalled(calls: int, ms: float, rounds: int = 1000, samples: int = 10) -> np.ndarray:
    """Latencies of 1 and 2 ms, of which the first of some rounds is long."""
    values = np.tile(np.linspace(1, 2, samples), (rounds, 1))
    values[:calls, 0] = ms
    return values


def test_what_is_counted():
    row = stalls_of(stalled(3, 70.0))
    assert (row.calls, row.count, row.longest_ms, row.factor) == (10_000, 3, 70.0, 5.0)
    assert row.lost_ms == pytest.approx(3 * 69) and row.lost_share == pytest.approx(3 * 69 / (15_000 + 3 * 69))
    none = stalls_of(stalled(0, 0.0))
    assert (none.count, none.longest_ms, none.lost_ms, none.lost_share) == (0, None, 0.0, 0.0)


def test_an_expensive_sample_is_no_stall():
    values = np.tile(np.array([1.0, 100.0]), (20, 1))
    assert stalls_of(values).count == 0


def test_a_stall_in_one_of_two_rounds_is_seen():
    """The mean of 1 and 80 would be 40.5, of which 80 is not five times."""
    assert stalls_of(np.array([[1.0, 1.0], [80.0, 1.0]])).count == 1


def test_stalls_that_no_percentile_shows_are_a_reason():
    """One call in a thousand takes 70 ms instead of 1: medians, p90 and drift see nothing."""
    values = stalled(0, 0.0)
    values[::10, 0] = 70.0
    found = assess(measurement(values), FIXED)
    assert found.verdict == NOISY
    assert found.reasons == ("100 calls of dense stalled, which took 31.5% of its time",)


def test_a_few_stalls_are_shown_and_do_not_spoil_a_run():
    values = steady(rounds=1000)
    values[7, 3] *= 10
    assert 0 < stalls_of(values).lost_share < MAX_LOST
    assert assess(measurement(values), FIXED).verdict == VALID
