"""Another unit in place of MACs: tracker, cost loss, controller and calibration know nothing but the protocol."""

from __future__ import annotations

import pytest
import torch

from sanp import models
from sanp.cost.calibration import density_for
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.gating.forward import forward
from sanp.methods.gated import calibrate_threshold
from sanp.methods.registry import create, gate
from sanp.methods.stage import Context, Length
from sanp.settings.train import TrainSettings

X = torch.zeros(1, 3, 16, 16)


class Channels:
    """Counts open channels; those of the first layer count ten times."""

    unit = "channels"

    def __init__(self, layers):
        gated = [row for row in layers if row.gated]
        self.weights = {row.name: 10.0 if row is gated[0] else 1.0 for row in gated}
        self.widths = {row.name: row.c_out for row in gated}
        self.dense = sum(self.weights[name] * width for name, width in self.widths.items())

    def sample_cost(self, masks):
        return sum(self.weights[name] * mask.double().sum(1) for name, mask in masks.items())

    def filter_costs(self):
        return {name: torch.full((width,), self.weights[name]).double() for name, width in self.widths.items()}


def test_shares_densities_and_floor_follow_the_counter():
    model = gate(models.build("m-cifarnet", width=0.2), X).eval()
    tracker = CostTracker(model, X, Channels)
    forward(model, Batch.example(torch.randn(3, 3, 16, 16)))
    masks = list(tracker.masks().values())
    wanted = (10 * masks[0].sum(1) + sum(mask.sum(1) for mask in masks[1:])) / tracker.dense
    torch.testing.assert_close(tracker.shares(), wanted.double())
    assert tracker.uniform(0.25) == pytest.approx(0.25)
    assert density_for(tracker.uniform, 0.4) == pytest.approx(0.4, abs=1e-5)
    assert tracker.floor() == pytest.approx((10 + len(masks) - 1) / tracker.dense)
    assert float(tracker.filter_shares()["conv0.conv"][0]) == pytest.approx(10 / tracker.dense)


def test_a_method_trains_and_calibrates_against_it(gated):
    model, _, batches = gated
    method, settings = create("sanp", {}), TrainSettings(budget=0.4)
    full = CostTracker(model, X, Channels).dense
    first = lambda most: batches.sequential(256, most)  # noqa: E731
    context = Context(settings, model, X, Channels, full, first, first, lambda x: x)
    task = method.task(context, Length(1, 4))
    batch = next(batches.sequential(10))
    model.train()
    loss = task.loss(forward(model, batch), batch)
    task.after_step(3)
    assert torch.isfinite(loss) and task.weight[0] == pytest.approx(10 * float(task.weight[-1]))
    assert task.metrics()["cost"] == pytest.approx(1 + (float(task.tracker.shares().mean()) - 1) / 5, abs=1e-6)
    model.eval()
    assert calibrate_threshold(context) > 0
    forward(model, next(batches.sequential(64)))
    assert 0.3 < float(task.tracker.shares().mean()) <= 0.4
