"""L1, Network Slimming and FCP from training to a loaded checkpoint: budgets, plans, penalties, resume, refusals."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch import nn

from sanp import checkpoint
from sanp.checkpoint import tensor_file
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.methods.registry import create, train_settings
from sanp.methods.slimming import SparseScales
from sanp.methods.stage import Context, Length
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp.training.progress import Journal
from sanp_targets.errors import ConfigError, TrainingInterrupted

RUN = {
    "width": 0.25, "dataset": "mixcues", "data_options": {"modes": 2, "train_size": 200, "val_size": 10,
    "test_size": 50}, "image_size": 16, "batch_size": 50, "pretrain_epochs": 1, "log_every": 1, "budget": 0.35,
}  # fmt: skip
SHORT = {
    "l1": {"finetune_epochs": 2},
    "slimming": {"sparse_epochs": 2, "finetune_epochs": 1},
    "fcp": {"cluster_epochs": 2, "finetune_epochs": 1},
}


def run(folder, method, **options):
    return train(train_settings(**{**RUN, **SHORT[method], **options, "method": method}), output=folder, progress=False)


def tensors(folder, name="checkpoint.safetensors"):
    return tensor_file.read(folder / name, "checkpoint")[1]


@pytest.mark.parametrize("method", SHORT)
@pytest.mark.parametrize(
    "model",
    [
        "m-cifarnet",
        pytest.param("resnet-20", marks=pytest.mark.slow),
        pytest.param("resnet-20-a", marks=pytest.mark.slow),
    ],
)
def test_the_budget_is_met_within_a_point_and_the_network_is_an_ordinary_one(method, model, tmp_path):
    budget = 0.35 if model == "m-cifarnet" else 0.5
    result = run(tmp_path, method, model=model, width=0.25 if model == "m-cifarnet" else 0.5, budget=budget)
    assert budget - 0.01 < result.cost <= budget
    loaded = checkpoint.load(result.checkpoint)
    assert not hasattr(loaded.model, "gating")
    dense = checkpoint.load(tmp_path / "dense.safetensors")
    trackers = [CostTracker(item.model, item.example_input) for item in (loaded, dense)]
    assert trackers[0].dense / trackers[1].dense == pytest.approx(result.cost)
    assert loaded.metadata["dense_cost"] == {"MACs": trackers[1].dense}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "step"),
    [("l1", 2), ("l1", 7), ("slimming", 5), ("slimming", 9), ("slimming", 11), ("fcp", 5), ("fcp", 9), ("fcp", 11)],
)
def test_killed_and_resumed_ends_with_the_same_bits(method, step, tmp_path, monkeypatch):
    """Steps counted over all stages after pretraining: in the penalty, right after a removal, and later."""
    torch.set_num_threads(1)
    plain, seen = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if name != "pretrain" and (name, done) not in seen:
            seen.append((name, done))
            if len(seen) == step - 1:
                os.kill(os.getpid(), signal.SIGTERM)

    whole = run(tmp_path / "whole", method)
    settings = train_settings(**{**RUN, **SHORT[method], "method": method})
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "step", watched)
        with pytest.raises(TrainingInterrupted):
            train(settings, output=tmp_path / "cut", progress=False)
    result = train(settings, output=tmp_path / "cut", progress=False, resume=True)
    resumed, expected = tensors(tmp_path / "cut"), tensors(tmp_path / "whole")
    assert set(resumed) == set(expected) and all(torch.equal(value, expected[name]) for name, value in resumed.items())
    for row, again in zip(whole.history, result.history, strict=True):
        assert {**row, "seconds": 0, "samples_per_s": 0} == {**again, "seconds": 0, "samples_per_s": 0}


def test_l1_removes_the_filters_with_the_least_sum(tmp_path):
    run(tmp_path, "l1", finetune_epochs=0)
    dense, small = tensors(tmp_path, "dense.safetensors"), tensors(tmp_path)
    first, left = dense["conv0.conv.weight"], small["conv0.conv.weight"]
    order = first.abs().sum((1, 2, 3)).argsort(descending=True)[: len(left)].sort().values
    assert 0 < len(left) < len(first) and torch.equal(left, first[order])
    read = small["conv1.conv.weight"]
    rows = dense["conv1.conv.weight"].abs().sum((1, 2, 3)).argsort(descending=True)[: len(read)].sort().values
    assert torch.equal(read, dense["conv1.conv.weight"][rows][:, order])


def test_l1_follows_given_widths_and_refuses_those_that_do_not_fit(tmp_path):
    widths = [16, 8, 16, 32, 20, 24, 48, 12]
    run(tmp_path / "given", "l1", widths=widths, budget=0.6, finetune_epochs=0)
    model = checkpoint.load(tmp_path / "given" / "checkpoint.safetensors").model
    assert [model.get_submodule(f"conv{index}.conv").out_channels for index in range(8)] == widths
    for wrong, says in ((widths[:7], "expected 8 numbers"), ([17, *widths[1:]], "expected 8 numbers")):
        with pytest.raises(ConfigError, match=says):
            run(tmp_path / "wrong", "l1", widths=wrong)
    with pytest.raises(ConfigError, match=r"the widths cost 0\.\d+ of the dense network, expected at most .* 0\.2"):
        run(tmp_path / "wrong", "l1", widths=widths, budget=0.2)
    assert not (tmp_path / "wrong" / "dense.safetensors").exists()


def test_the_slimming_penalty_has_the_published_gradient():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4),
                            nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    network[1].weight.data = torch.tensor([0.5, -0.2, 0.0, 1.0, -1.0])
    example = torch.zeros(1, 3, 4, 4)
    context = Context(TrainSettings(), network, example, MacCounter, 1.0, iter, iter, lambda x: x)
    batch = Batch(torch.randn(8, 3, 4, 4), torch.arange(8) % 4)
    gradients = []
    for weight in (0.0, 0.01):
        network.zero_grad()
        SparseScales(context, Length(1, 1), weight).loss(network(batch.images), batch).backward()
        gradients.append([norm.weight.grad.clone() for norm in (network[1], network[4])])
    for plain, pushed, norm in zip(*gradients, (network[1], network[4]), strict=True):
        torch.testing.assert_close(pushed - plain, 0.01 * norm.weight.detach().sign(), atol=1e-6, rtol=1e-5)


def test_slimming_pushes_scales_down_and_keeps_the_large_ones(tmp_path):
    result = run(tmp_path, "slimming", sparsity=0.2, sparse_epochs=4, finetune_epochs=0)
    rows = [row["scale"] for row in result.history if row["stage"] == "sparse"]
    assert rows[-1] < 0.8 * rows[0]
    model = checkpoint.load(result.checkpoint).model
    widths = [model.get_submodule(f"conv{index}.conv").out_channels for index in range(8)]
    shares = [width / full for width, full in zip(widths, (16, 16, 32, 32, 32, 48, 48, 48), strict=True)]
    assert max(shares) - min(shares) > 0.1  # one threshold, not one share


def test_fcp_pulls_filters_together_and_removes_whole_clusters(tmp_path):
    result = run(tmp_path, "fcp", cluster_epochs=12, lr=0.1, pull=4.0)
    radius = [row["radius"] for row in result.history if "radius" in row]
    assert len(radius) == 12 and radius[-1] < 0.05 * radius[0]
    assert result.history[-1]["stage"] == "cluster" and "radius" not in result.history[-1]
    assert result.cost <= 0.35


def test_fcp_with_k_means_and_without_the_merge(tmp_path):
    result = run(tmp_path, "fcp", assignment="k-means", merge=False)
    assert 0.34 < result.cost <= 0.35


@pytest.mark.parametrize("method", [*SHORT, "laasp"])
def test_budgets_below_the_floor_and_unknown_values_are_refused(method, tmp_path):
    common = {**RUN, "method": method, "model": "resnet-20-a", "width": 0.5}
    with pytest.raises(ConfigError, match=r"budget is 0\.05 .* expected more than 0\.\d+, which the layers that keep"):
        train(train_settings(**{**common, "budget": 0.05}), output=tmp_path, progress=False)
    assert not (tmp_path / "dense.safetensors").exists()
    with pytest.raises(ConfigError, match=f"method {method} cap is 0"):
        train_settings(**common, cap=0)


def test_widths_are_kept_to_a_multiple(tmp_path):
    result = run(tmp_path, "l1", width=0.5, multiple=8, finetune_epochs=0, budget=0.4)
    model = checkpoint.load(result.checkpoint).model
    widths = [model.get_submodule(f"conv{index}.conv").out_channels for index in range(8)]
    assert all(width % 8 == 0 for width in widths) and 0.25 < result.cost <= 0.4


def test_networks_that_slimming_cannot_treat_are_refused():
    plain = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    context = Context(TrainSettings(), plain, torch.zeros(1, 3, 4, 4), MacCounter, 1.0, iter, iter, lambda x: x)
    with pytest.raises(ConfigError, match="has a batch norm with a scale"):
        create("slimming", {}).floor(context)
    assert 0 < create("l1", {}).floor(Context(**{**context.__dict__, "full": 35.0 * 16})) < 1
