"""Selectors: budgets met closely from below, ties, guards, caps, multiples, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sanp import models
from sanp.cost.macs import MacCounter
from sanp.pruning.check import channel_groups
from sanp.pruning.selection import Limits, below, by_threshold, floor, lowest, uniform
from sanp.pruning.width_cost import WidthCost
from sanp_targets.errors import ConfigError

IMAGE = torch.zeros(1, 3, 16, 16)


@pytest.fixture(scope="module", params=["m-cifarnet", "resnet-20", "imagenet-mobilenet-v2"])
def case(request):
    network = models.build(request.param, width=0.5)
    groups = channel_groups(network, IMAGE)
    return groups, WidthCost(network, IMAGE, groups, MacCounter)


@pytest.mark.parametrize("budget", [0.25, 0.35, 0.5, 0.67, 0.9, 1.0])
def test_uniform_widths_meet_the_budget_within_a_point(case, budget):
    groups, cost = case
    counts = uniform(groups, cost, Limits(), budget)
    assert budget - 0.01 < cost.share(counts) <= budget
    left = [1 - counts.get(name, 0) / row.width for name, row in groups.rows.items()]
    assert max(left) - min(left) < 0.2  # one channel of the narrowest layer, up or down


@pytest.mark.parametrize("budget", [0.25, 0.5, 0.9])
def test_a_threshold_meets_the_budget_and_is_strict(case, budget):
    groups, cost = case
    torch.manual_seed(1)
    scores = {name: torch.rand(row.width) for name, row in groups.rows.items()}
    removed = by_threshold(scores, groups, cost, Limits(), budget)
    share = cost.share({name: len(units) for name, units in removed.items()})
    assert budget - 0.01 < share <= budget
    highest = max(float(scores[name][units].max()) for name, units in removed.items())
    guarded = {name for name, units in removed.items() if len(units) == groups.rows[name].width - 1}
    for name, row in groups.rows.items():
        stays = torch.ones(row.width, dtype=torch.bool)
        stays[removed.get(name, torch.empty(0, dtype=torch.int64))] = False
        assert stays.any() and (name in guarded or bool((scores[name][stays] > highest).all()))


def test_the_threshold_is_one_of_the_values_and_strict():
    """All layers have the scores 0, 1, 2 ...: what equals the threshold leaves as well."""
    network = models.build("m-cifarnet", width=0.1)
    groups = channel_groups(network, IMAGE)
    scores = {name: torch.arange(float(row.width)) for name, row in groups.rows.items()}
    removed = below(scores, 3.0, groups, Limits())
    assert all(units.tolist() == [0, 1, 2, 3] for units in removed.values()) and len(removed) == 8
    cost = WidthCost(network, IMAGE, groups, MacCounter)
    budget = cost.share(dict.fromkeys(groups.rows, 3)) + 1e-9
    assert all(units.tolist() == [0, 1, 2] for units in by_threshold(scores, groups, cost, Limits(), budget).values())
    assert not by_threshold(scores, groups, cost, Limits(), 1.0)


@pytest.mark.parametrize("percent", [0.25, 0.4, 0.5, 0.7])
@pytest.mark.parametrize("steps", [None, 40])  # scales that all differ; scales of which many are equal
def test_the_published_rule_of_network_slimming(percent, steps):
    """Written out as published: of the sorted scales of all layers the one at floor(total * percent) is the threshold.

    What is not above it leaves. The cost of that as a budget must lead to the same channels.
    """
    network = models.build("vgg-16", width=0.25)
    groups = channel_groups(network, torch.zeros(1, 3, 32, 32))
    generator = np.random.default_rng(int(100 * percent))
    scales = {name: generator.random(row.width, np.float32) for name, row in groups.rows.items()}
    if steps:
        scales = {name: np.round(values * steps) / np.float32(steps) for name, values in scales.items()}
    for values in scales.values():
        values[0] = 1.5  # nobody loses a whole layer
    together = np.sort(np.concatenate(list(scales.values())))
    index = int(np.floor(len(together) * percent))
    leaves = {name: np.flatnonzero(values <= together[index]).tolist() for name, values in scales.items()}
    assert sum(map(len, leaves.values())) == index + 1 or steps, "strict: the threshold itself leaves"
    cost = WidthCost(network, torch.zeros(1, 3, 32, 32), groups, MacCounter)
    budget = cost.share({name: len(units) for name, units in leaves.items()})
    found = by_threshold(
        {name: torch.from_numpy(values) for name, values in scales.items()}, groups, cost, Limits(), budget
    )
    assert {name: units.tolist() for name, units in found.items()} == {name: row for name, row in leaves.items() if row}


def test_a_layer_below_the_threshold_keeps_its_best_channel():
    groups = channel_groups(models.build("m-cifarnet", width=0.1), IMAGE)
    scores = {name: torch.rand(row.width) for name, row in groups.rows.items()}
    removed = below(scores, 2.0, groups, Limits())
    for name, units in removed.items():
        assert set(range(groups.rows[name].width)) - set(units.tolist()) == {int(scores[name].argmax())}
    capped = below(scores, 2.0, groups, Limits(cap=0.5))
    assert all(len(units) == groups.rows[name].width // 2 for name, units in capped.items())


def test_the_first_of_equal_scores_leaves():
    assert lowest(torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]), 2).tolist() == [1, 3]


def test_widths_to_a_multiple():
    network = models.build("m-cifarnet", width=0.5)
    groups = channel_groups(network, IMAGE)
    cost = WidthCost(network, IMAGE, groups, MacCounter)
    limits = Limits(multiple=8)
    counts = uniform(groups, cost, limits, 0.4)
    widths = {name: row.width - counts.get(name, 0) for name, row in groups.rows.items()}
    assert all(width % 8 == 0 for width in widths.values()) and 0.3 < cost.share(counts) <= 0.4
    scores = {name: torch.rand(row.width) for name, row in groups.rows.items()}
    removed = by_threshold(scores, groups, cost, limits, 0.4)
    assert all((groups.rows[name].width - len(units)) % 8 == 0 for name, units in removed.items())
    assert Limits(multiple=8).least(20) == 8 and Limits(multiple=8).allowed(20, 17) == 20
    assert Limits(multiple=16).least(12) == 12 and Limits(cap=0.75).least(16) == 4


def test_a_budget_below_the_floor_is_refused_with_the_floor(case):
    groups, cost = case
    least = floor(groups, cost, Limits(cap=0.5))
    assert floor(groups, cost, Limits()) < 0.05 < least < 0.5
    scores = {name: torch.rand(row.width) for name, row in groups.rows.items()}
    for select in (lambda: uniform(groups, cost, Limits(cap=0.5), 0.1),
                   lambda: by_threshold(scores, groups, cost, Limits(cap=0.5), 0.1)):  # fmt: skip
        with pytest.raises(ConfigError, match=f"expected at least {least:.4f}"):
            select()
