"""How methods with gates meet their budget: margin, threshold and density."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanp import checkpoint, models
from sanp.cost.calibration import density_for, mean_cost, smallest_threshold
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.gating import gated_layers
from sanp.gating.controls import set_density
from sanp.methods.gated import calibrate_threshold
from sanp.methods.registry import create, gate, train_settings
from sanp.methods.stage import Context
from sanp.methods.stages.joint import open_for
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp.training.batches import Batches
from sanp.training.start import load_data


@pytest.mark.parametrize(
    ("changes", "goal"),
    [({}, 0.45), ({"calibrate": False}, 0.4), ({"budget": 1.0}, 1.0)],
)
def test_controller_aims_above_the_budget_where_calibration_follows(changes, goal):
    budget = changes.pop("budget", 0.4)
    assert create("sanp", {"margin": 0.05, **changes}).control(budget).goal == pytest.approx(goal)


@pytest.mark.parametrize("budget", [0.3, 0.6])
def test_calibration_meets_the_budget_from_above(gated, budget):
    model, tracker, batches = gated

    def calibrated(aim):
        train = TrainSettings.model_construct(budget=aim)
        example = torch.zeros(1, 3, 16, 16)
        return calibrate_threshold(
            Context(
                train,
                model,
                example,
                MacCounter,
                tracker.dense,
                lambda most: batches.sequential(256, most),
                lambda most: batches.drawn(0, most),
                lambda x: x,
            )
        )

    before = mean_cost(model, tracker, batches.sequential(256))
    assert before > budget
    threshold = calibrated(budget)
    after = mean_cost(model, tracker, batches.sequential(256))
    assert 0 < threshold < 1 and budget - 0.06 < after <= budget
    assert calibrated(1.1) == 0
    assert mean_cost(model, tracker, batches.sequential(256)) == before


@pytest.mark.parametrize("name", ["m-cifarnet", "vgg-16", "vgg-19", "resnet-18"])  # narrow layers have few densities
@pytest.mark.parametrize("budget", [0.25, 0.67])
def test_densities_of_fixed_k_meet_the_budget(name, budget):
    example = torch.zeros(1, 3, 16, 16)
    model = gate(models.build(name, width=0.5), example, "fixed-k").eval()
    for layer in gated_layers(model).values():
        nn.init.zeros_(layer.gate.net.fc2.weight)
        nn.init.uniform_(layer.gate.net.fc2.bias, 0.8, 1.2)  # nothing below zero, no ties
    tracker = CostTracker(model, example)
    set_density(model, density_for(tracker.uniform, budget))
    model(torch.rand(8, 3, 16, 16))
    assert float(tracker.shares().mean()) == pytest.approx(budget, abs=0.04)


@pytest.mark.parametrize("name", ["m-cifarnet", "resnet-18"])
@pytest.mark.parametrize("budget", [0.35, 0.5])
def test_fixed_k_opens_what_the_budget_allows_in_narrow_layers(name, budget):
    example = torch.zeros(1, 3, 16, 16)
    model = gate(models.build(name, width=0.25), example, "fixed-k").eval()
    tracker = CostTracker(model, example)
    open_for(model, tracker, budget)
    shares = {layer: gated.gate.k / gated.gate.c_out for layer, gated in gated_layers(model).items()}
    assert budget - 0.01 < tracker.expected(shares) <= budget
    assert model.gating.options["channels"] == {layer: gated.gate.k for layer, gated in gated_layers(model).items()}


@pytest.mark.parametrize("largest", [0.01, 0.9, 5.0, 300.0])
def test_the_threshold_is_found_whatever_the_size_of_the_saliencies(largest):
    """Half of the uniform saliencies up to `largest` may stay: closely, in few measurements, and never above."""
    calls = []

    def cost(threshold):
        calls.append(threshold)
        return max(0.0, 1 - threshold / largest)

    found = smallest_threshold(cost, 0.5)
    assert 0.499 * largest < found < 0.502 * largest + 0.001 and cost(found) <= 0.5
    assert len(calls) < 13 + 10
    assert smallest_threshold(cost, 1.0) == 0 and smallest_threshold(cost, 0.5, least=0.8 * largest) == 0.8 * largest


@pytest.mark.parametrize("method", ["sanp", "channel-gating", "fixed-k"])
def test_a_short_run_meets_its_budget_whatever_its_seed(method, tmp_path):
    """Closing gates changes the batch-norm statistics, which change what is open: both are measured together."""
    stages = {} if method == "channel-gating" else {"warmup_epochs": 1}
    for seed in range(2):
        settings = train_settings(
            method=method, width=0.25 if method == "channel-gating" else 0.1, dataset="mixcues", image_size=16,
            data_options={"modes": 2, "train_size": 400, "val_size": 10, "test_size": 100}, batch_size=50,
            pretrain_epochs=1, joint_epochs=1, seed=seed, budget=0.45, **stages,
        )  # fmt: skip
        found = checkpoint.load(train(settings, output=tmp_path / str(seed), progress=False).checkpoint)
        batches = Batches(load_data(settings).train, torch.device("cpu"), 50)
        tracker = CostTracker(found.model, found.example_input)
        if method == "sanp":
            assert any(layer.gate.threshold > 0 for layer in gated_layers(found.model).values()), "there is work to do"
        assert 0.44 < mean_cost(found.model, tracker, batches.sequential(256)) <= 0.45
