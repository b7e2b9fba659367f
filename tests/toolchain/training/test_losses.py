"""The cost loss, the controller, recalibration and calibration: signs, bounds and invariances."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sanp import models
from sanp.cost.calibration import density_for, mean_cost
from sanp.cost.controller import BudgetController, Control
from sanp.cost.tracker import CostTracker
from sanp.data import Split
from sanp.data.batch import Batch
from sanp.gating import gated_layers
from sanp.gating.controls import set_density
from sanp.gating.sparsity import effective_channels, membership, weighted_l1
from sanp.methods.gated import calibrate_threshold
from sanp.methods.registry import create, gate
from sanp.methods.stage import Context
from sanp.settings.train import TrainSettings
from sanp.training import recalibrate
from sanp.training.batches import Batches, augmented, seed_for

ONE = torch.tensor(1.0)


def effective(saliencies, weights=None):
    """The loss of layers given one by one, at lambda = 1."""
    sizes = [s.shape[1] for s in saliencies]
    weight = torch.ones(len(sizes)) if weights is None else torch.tensor(weights)
    return effective_channels(torch.cat(saliencies, dim=1), membership(sizes), weight, ONE)


def test_effective_channels_counts_and_ignores_scale():
    equal, single = torch.full((3, 8), 0.2), torch.zeros(3, 8)
    single[:, 2] = 5.0
    assert float(effective([equal])) == pytest.approx(8, rel=1e-3)
    assert float(effective([single])) == pytest.approx(1, rel=1e-3)
    s = torch.rand(5, 8)
    assert float(effective([s])) == pytest.approx(float(effective([3 * s])), rel=1e-4)
    assert float(effective([torch.zeros(2, 8)])) == 0  # and no division by zero


def test_effective_channels_adds_up_layers_of_different_widths():
    torch.manual_seed(0)
    layers, weights = [torch.rand(6, size) + 0.5 for size in (5, 1, 9)], [0.5, 2.0, 1.25]
    expected = 0.0
    for s, weight in zip(layers, weights):
        rows = s.double().numpy()
        expected += weight * (rows.sum(1) ** 2 / (rows**2).sum(1)).mean()
    assert float(effective(layers, weights)) == pytest.approx(expected, rel=1e-5)


def test_effective_channels_pushes_small_saliencies_down_and_large_ones_up():
    s = torch.tensor([[0.1, 0.2, 1.0, 1.5]], requires_grad=True)
    effective([s]).backward()
    assert (s.grad[0, :2] > 0).all() and s.grad[0, 3] < 0  # the boundary is (sum of s^2) / (sum of s) = 1.18
    assert float((s.grad * s.detach()).sum()) == pytest.approx(0, abs=1e-5)  # nothing to gain from the common scale


def test_l1_is_weighted_and_its_reward_is_capped():
    s = torch.tensor([[0.5, 2.0]], requires_grad=True)
    weight = torch.tensor([1.0, 3.0])
    assert weighted_l1(s, weight, ONE).item() == 6.5
    (grad,) = torch.autograd.grad(weighted_l1(s, weight, -ONE), s)
    assert grad.tolist() == [[-1, 0]]


def test_controller_sign_bounds_and_ramp():
    control = Control(goal=0.4, ramp=0.5, gain=10.0, least=-0.05, most=1.0, window=1)
    controller = BudgetController(control, torch.device("cpu"))
    assert [controller.target(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.7, 0.4, 0.4])
    for cost, progress, weight in ((0.45, 1, 0.5), (0.9, 1, 1.0), (0.4, 1, 0.0), (0.2, 1, -0.05), (0.75, 0.25, 0.5)):
        controller.observe(torch.tensor(cost), progress)
        assert float(controller.weight) == pytest.approx(weight, abs=1e-5)
    again = BudgetController(control, torch.device("cpu"))
    again.restore(controller.state())
    assert torch.equal(again.weight, controller.weight) and torch.equal(again.cost, controller.cost)


@pytest.mark.parametrize(
    ("changes", "goal"),
    [({}, 0.45), ({"calibrate": False}, 0.4), ({"budget": 1.0}, 1.0)],
)
def test_controller_aims_above_the_budget_where_calibration_follows(changes, goal):
    budget = changes.pop("budget", 0.4)
    assert create("sanp", {"margin": 0.05, **changes}).control(budget).goal == pytest.approx(goal)


def recalibrated_on(images, sizes, model):
    """The running statistics after `recalibrate`, and the true ones of what each norm saw, both by name."""
    norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    seen = {name: [] for name in norms}
    hooks = [
        norm.register_forward_pre_hook(lambda _, args, rows=seen[name]: rows.append(args[0].double()))
        for name, norm in norms.items()
    ]
    recalibrate(model, [Batch.example(part) for part in images.split(sizes)])
    for hook in hooks:
        hook.remove()
    true = {}
    for name, parts in seen.items():
        values = torch.cat(parts).transpose(0, 1).flatten(1)
        true[name] = values.mean(1), values.var(1)
    return {name: (norm.running_mean.double(), norm.running_var.double()) for name, norm in norms.items()}, true


def test_recalibration_counts_every_sample_once():
    """258 images in batches of 256 and 2, of which the last two are far from the others."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    images = torch.randn(258, 3, 4, 4) * 3 + 2
    images[256:] += 40
    model.train()
    found, true = recalibrated_on(images, [256, 2], model)
    for name, (mean, variance) in found.items():
        torch.testing.assert_close(mean, true[name][0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(variance, true[name][1], rtol=1e-6, atol=1e-6)
    pixels = images.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(found["0"][0], pixels.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(found["0"][1], pixels.var(1), rtol=1e-6, atol=0)
    assert model[0].momentum == 0.1 and model.training and model[1].training
    assert not model[0]._forward_hooks


def test_recalibration_counts_every_sample_once_in_gates_too(gated):
    model = gated[0]
    found, true = recalibrated_on(torch.randn(70, 3, 16, 16), [64, 6], model)
    assert any(name.endswith("gate.net.norm") for name in found)
    for name, (mean, variance) in found.items():
        torch.testing.assert_close(mean, true[name][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(variance, true[name][1], rtol=1e-5, atol=1e-6)


def test_batches_for_statistics_are_of_near_equal_size(gated):
    batches = gated[2]
    assert [len(batch) for batch in batches.even(63, most=1000)] == [32, 32]  # not 63 and 1
    assert [len(batch) for batch in batches.even(16, most=50)] == [13, 13, 12, 12]
    together = torch.cat([batch.images for batch in batches.even(16, most=50)])
    assert torch.equal(together, next(iter(batches.sequential(50))).images)


@pytest.fixture
def gated():
    """A gated network with spread saliencies and a split to measure it on."""
    torch.manual_seed(0)
    model = gate(models.build("m-cifarnet", width=0.2), torch.zeros(1, 3, 16, 16)).eval()
    for layer in gated_layers(model).values():
        nn.init.normal_(layer.gate.net.fc2.bias, 0.4, 0.2)
    images = torch.rand(64, 3, 16, 16).numpy()
    zeros = torch.zeros(3).numpy()
    split = Split(images, torch.arange(64).numpy(), zeros, zeros + 1)
    return model, CostTracker(model, torch.zeros(1, 3, 16, 16)), Batches(split, torch.device("cpu"), 32)


@pytest.mark.parametrize("budget", [0.3, 0.6])
def test_calibration_meets_the_budget_from_above(gated, budget):
    model, tracker, batches = gated

    def calibrated(aim):
        train = TrainSettings.model_construct(budget=aim)
        example = torch.zeros(1, 3, 16, 16)
        return calibrate_threshold(
            Context(train, model, example, tracker.dense, lambda most: batches.sequential(256, most), lambda x: x)
        )

    before = mean_cost(model, tracker, batches.sequential(256))
    assert before > budget
    threshold = calibrated(budget)
    after = mean_cost(model, tracker, batches.sequential(256))
    assert 0 < threshold < 1 and budget - 0.06 < after <= budget
    assert calibrated(1.1) == 0
    assert mean_cost(model, tracker, batches.sequential(256)) == before


@pytest.mark.parametrize("name", models.NAMES)
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


def test_batches_depend_on_the_seed_and_can_start_anywhere(gated):
    batches = gated[2]

    def numbers(*seed, skip=0):
        """The rows of each batch, by the labels, which number them here."""
        return [batch.labels.tolist() for batch in batches.epoch(seed_for(*seed), skip)]

    whole = numbers(0, "joint", 3)
    assert sorted(row for rows in whole for row in rows) == list(range(64))
    assert numbers(0, "joint", 3, skip=1) == whole[1:]
    assert numbers(1, "joint", 3) != whole


def test_shards_of_two_processes_are_disjoint():
    zeros = torch.zeros(3).numpy()
    split = Split(torch.rand(50, 3, 2, 2).numpy(), torch.arange(50).numpy(), zeros, zeros + 1)
    parts = [Batches(split, torch.device("cpu"), 20, rank, 2) for rank in range(2)]
    seen = [torch.cat([batch.labels for batch in part.epoch(7)]).tolist() for part in parts]
    assert [part.batch_size for part in parts] == [10, 10]
    assert len(seen[0]) == len(seen[1]) == 20 and not set(seen[0]) & set(seen[1])


def test_augmentation_moves_whole_images():
    class Kind:
        shift, flip = 2, True

    torch.manual_seed(0)
    image = torch.zeros(200, 1, 8, 8)
    image[:, 0, 3, 4] = 1.0
    found = augmented(image, Kind())
    spots = {tuple(row[1:].tolist()) for row in found[:, 0].nonzero()}
    assert len(found[:, 0].nonzero()) == 200  # no pixel lost or doubled
    assert {row for row, _ in spots} == set(range(1, 6))
    assert {column for _, column in spots} == set(range(1, 7))  # 4 +- 2 and its mirror 3 +- 2
    Kind.shift, Kind.flip = 0, False
    assert augmented(image, Kind()) is image
