"""The interval of a ratio: it holds the truth as often as it says, and knows when it knows nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sanp_runtime.measure.interval import MIN_ROUNDS, change_interval, paired_interval


def unpaired_interval(over, under):
    """Two measurements of one engine each."""
    return change_interval((over,), (under,))


def latencies(generator, rounds, slower=1.0, noise=0.05):
    """Samples of different cost, and a machine that adds to each call."""
    cost = np.linspace(1.0, 2.0, 8)
    return slower * cost * (1 + generator.gamma(2.0, noise / 2, (rounds, 8)))


@pytest.mark.parametrize("interval", [paired_interval, unpaired_interval])
def test_it_holds_the_truth_about_as_often_as_it_says(interval):
    """200 measurements of a machine whose truth is known: 95 % of the intervals should hold it, 88 % must."""
    held = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        low, high = interval(latencies(generator, 40, slower=2.0), latencies(generator, 40))
        held += low <= 2.0 <= high
    assert 0.88 * 200 <= held < 200, held


def test_what_slows_both_engines_down_cancels_only_where_they_took_turns():
    generator = np.random.default_rng(1)
    drift = np.repeat(np.linspace(1.0, 1.5, 60), 8).reshape(60, 8)
    over, under = latencies(generator, 60, slower=2.0) * drift, latencies(generator, 60) * drift
    together, apart = paired_interval(over, under), unpaired_interval(over, under)
    assert together[0] <= 2.0 <= together[1]
    assert together[1] - together[0] < (apart[1] - apart[0]) / 3


def test_neighbouring_rounds_are_drawn_together():
    """A machine that is slow for a while: rounds are no independent draws, and the interval must be wider for it."""
    generator = np.random.default_rng(2)
    slow = np.repeat(1 + 0.2 * generator.random(10), 40)[:, None]
    over, under = latencies(generator, 400, noise=0.01) * slow, latencies(generator, 400, noise=0.01)
    steady = latencies(generator, 400, noise=0.01) * generator.permutation(slow)
    in_a_row, shuffled = paired_interval(over, under), paired_interval(steady, under)
    assert in_a_row[1] - in_a_row[0] > 1.5 * (shuffled[1] - shuffled[0])


def test_too_few_rounds_have_no_interval():
    generator = np.random.default_rng(3)
    few, enough = latencies(generator, MIN_ROUNDS - 1), latencies(generator, MIN_ROUNDS)
    assert paired_interval(few, few) is None and unpaired_interval(enough, few) is None
    assert paired_interval(enough, enough) == (1.0, 1.0)


def test_shapes_that_differ_are_refused():
    generator = np.random.default_rng(4)
    with pytest.raises(ValueError, match="equal"):
        paired_interval(latencies(generator, 10), latencies(generator, 11))
    low, high = unpaired_interval(latencies(generator, 10), latencies(generator, 11)[:, :5])
    assert low < high
