"""Milliseconds as the unit of a budget: counted like the table predicts, with the gradient that a table has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sanp import models
from sanp.cost.latency import LatencyBudget, LatencyCounter
from sanp.cost.tracker import CostTracker
from sanp.methods.registry import gate
from sanp.settings.times import milliseconds
from sanp_runtime.network.layers import Layer
from sanp_targets.errors import ConfigError
from tests.support.latency_tables import table_for

X = torch.zeros(1, 3, 32, 32)


@pytest.fixture(params=["resnet-20", "m-cifarnet", "imagenet-mobilenet-v2"])
def network(request):
    return gate(models.build(request.param, width=0.2), X).eval()


def test_torch_counts_what_the_table_predicts(network, force_masks):
    force_masks(network)
    table = table_for(CostTracker(network, X).layers)
    tracker = CostTracker(network, X, LatencyBudget(1.0, table).counter)
    network(torch.randn(6, 3, 32, 32) + 2 * torch.randn(6, 3, 1, 1))
    masks = tracker.masks()
    wanted = table.predict(tracker.layers, {name: mask.numpy() for name, mask in masks.items()})
    found = tracker.counter.sample_cost(masks)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    assert len(np.unique(wanted)) > 1 and tracker.counter.unit == "ms"
    slow = tracker.counter.sample_cost({name: mask.double() for name, mask in masks.items()})
    np.testing.assert_allclose(slow.numpy(), wanted, rtol=1e-12)
    assert tracker.dense == table.dense_ms and float(tracker.shares()[0]) == pytest.approx(wanted[0] / table.dense_ms)


def test_what_closing_a_filter_saves_is_the_slope_of_the_prediction(network):
    """A gate weighs in the loss as the time changes around half-open layers: by differences, not by autograd."""
    layers = CostTracker(network, X).layers
    counter = LatencyCounter(layers, table_for(layers))
    half = {row.name: torch.full((1, row.c_out), 0.5, dtype=torch.float64) for row in layers if row.gated}
    saved, step = counter.filter_costs(), 1e-4
    for name in list(half)[:: max(1, len(half) // 5)]:
        times = []
        for change in (step, -step):
            moved = half[name].clone()
            moved[0, 0] += change
            times.append(float(counter.sample_cost({**half, name: moved})))
        assert float(saved[name][0]) == pytest.approx((times[0] - times[1]) / (2 * step), rel=1e-5)
        assert float(saved[name].min()) > 0


def test_other_networks_are_refused_and_plain_ones_have_the_dense_time(network):
    layers = CostTracker(network, X).layers
    table = table_for(layers)
    assert LatencyCounter([Layer("any", 3, 4, (8, 8))], table).dense == table.dense_ms
    with pytest.raises(ConfigError, match="expected the same network with the same gates"):
        LatencyCounter(layers[:-1], table)


def test_a_budget_is_below_the_dense_time():
    table = table_for((Layer("only", 3, 4, (8, 8), gated=True),))
    assert LatencyBudget(0.5 * table.dense_ms, table).share == pytest.approx(0.5)
    with pytest.raises(ConfigError, match=r"which the dense network takes on a formula"):
        _ = LatencyBudget(table.dense_ms, table).share


@pytest.mark.parametrize(("text", "ms"), [("2.5ms", 2.5), ("800us", 0.8), (" 0.01 s", 10.0), ("1e-1ms", 0.1)])
def test_times_have_units(text, ms):
    assert milliseconds(text) == pytest.approx(ms)


@pytest.mark.parametrize("text", ["2.5", "ms", "-1ms", "0ms", "2.5 min", ""])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="with its unit"):
        milliseconds(text)
