"""What the check of a budget calls rounding, what a wrong kernel, and what a consequence."""

from __future__ import annotations

import numpy as np

from sanp_runtime.bundle.budgets import BudgetSetting
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.engines.base import Result
from sanp_runtime.network.macs import sample_macs
from sanp_runtime.validate.budgets import budget_check
from tests.support import tiny_net

LEVEL = 0.5
SETTING = BudgetSetting(0.7, dict.fromkeys(tiny_net.GATED, LEVEL), "by hand", 1.0, 1.0, None, None)
N = 4


def gates():
    """Scales far above the threshold, or closed."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.uniform(1, 2, (N, tiny_net.WIDTH)) * (rng.random((N, tiny_net.WIDTH)) < 0.6)).astype(np.float32)
        for name in tiny_net.GATED
    }


def check(ours, theirs):
    logits = np.eye(N, tiny_net.CLASSES, dtype=np.float32)
    labels = np.array([0, 1, 2, 0])
    reference = Reference(tiny_net.samples(N), labels, {"logits": logits})
    results = (Result({"logits": logits}, scales, tiny_net.LAYERS) for scales in (ours, theirs))
    return budget_check(tiny_net.LAYERS, SETTING, reference, *results, trained_macs=1e6)


def test_equal_decisions_pass_and_are_counted():
    report = check(gates(), gates())
    assert report.passed and report.decisions == 3 * N * tiny_net.WIDTH
    assert (report.rounding, report.consequence, report.mismatch) == (0, 0, 0)
    assert report.macs == sample_macs(tiny_net.LAYERS, gates()).mean() == report.of_trained * 1e6
    assert report.accuracy == 0.75 and "75.00%" in report.summary()


def flipped(layer, value, sample=1):
    """Both sides, one of which has another decision in one channel: this scale, and closed."""
    ours, theirs = gates(), gates()
    ours[layer][sample, 0], theirs[layer][sample, 0] = value, 0.0
    return ours, theirs


def test_near_the_threshold_rounding_decides_on_either_side():
    ours, theirs = flipped("block.a", LEVEL * (1 + 1e-6))
    for report in (check(ours, theirs), check(theirs, ours)):
        assert report.passed and (report.rounding, report.mismatch) == (1, 0)


def test_far_from_it_the_kernel_is_wrong():
    ours, theirs = flipped("stem", 4.0)
    for report in (check(ours, theirs), check(theirs, ours)):
        assert not report.passed and report.mismatch == 1 and "1 not explained" in report.summary()
        assert report.to_json()["passed"] is False


def test_where_a_rank_decides_the_least_that_is_open_is_the_bound():
    ours, theirs = gates(), gates()
    theirs["stem"][2, :2], ours["stem"][2, :2] = (0.9, 0.0), (0.0, 0.9 * (1 + 1e-7))
    assert check(ours, theirs).rounding == 2
    ours["stem"][2, 1] = 0.8
    assert check(ours, theirs).mismatch > 0


def test_later_layers_of_the_same_sample_follow():
    ours, theirs = flipped("stem", LEVEL * (1 + 1e-7))
    ours["block.b"][1, 3] = 3.0 - ours["block.b"][1, 3] if ours["block.b"][1, 3] == 0 else 0.0
    report = check(ours, theirs)
    assert report.passed and (report.rounding, report.consequence) == (1, 1)
    ours["block.b"][2, 3] = 3.0 - ours["block.b"][2, 3] if ours["block.b"][2, 3] == 0 else 0.0
    assert check(ours, theirs).mismatch == 1, "another sample is not in its wake"


def test_nan_is_a_broken_kernel():
    ours = gates()
    ours["stem"][0, 0] = np.nan
    assert check(ours, gates()).mismatch >= 1
