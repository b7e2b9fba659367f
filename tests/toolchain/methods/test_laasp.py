"""LAASP: it meets the budget, keeps its caps, recovers as told, resumes inside the removal, and is its own control."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

import sanp
from sanp import checkpoint, models
from sanp.checkpoint import tensor_file
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.methods.registry import create, train_settings
from sanp.methods.stage import Context, Length
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp.training.progress import Journal
from sanp_targets.errors import ConfigError, TrainingInterrupted

RUN = {
    "width": 0.25, "dataset": "mixcues", "data_options": {"modes": 2, "train_size": 200, "val_size": 10,
    "test_size": 50}, "image_size": 16, "batch_size": 50, "pretrain_epochs": 2, "log_every": 1, "budget": 0.5,
    "method": "laasp", "epochs": 5, "samples": 100, "step": 0.06, "delta": 0.15, "recovery": 1,
}  # fmt: skip


def run(folder, **options):
    return train(train_settings(**{**RUN, **options}), output=folder, progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("laasp")
    return run(folder), folder


def test_the_network_is_an_ordinary_one_with_fewer_channels_at_the_budget(whole):
    result, folder = whole
    loaded = checkpoint.load(result.checkpoint)
    assert not hasattr(loaded.model, "gating") and 0.49 < result.cost <= 0.5
    dense = checkpoint.load(folder / "dense.safetensors")
    before, after = (CostTracker(item.model, item.example_input) for item in (dense, loaded))
    assert after.dense / before.dense == pytest.approx(result.cost)
    widths = [row.c_out for row in after.layers]
    assert widths[-1] == 10 and all(a >= b / 4 for a, b in zip(widths, (row.c_out for row in before.layers)))
    assert loaded.metadata["test"]["cost"] == pytest.approx(result.cost)


def test_it_is_exported_like_any_network(whole, tmp_path):
    exported = sanp.export(whole[0].checkpoint, tmp_path / "model.onnx", samples=4)
    model = checkpoint.load(whole[0].checkpoint).model
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(session.run(["logits"], {"input": images})[0], expected, rtol=1e-4, atol=1e-5)


def test_the_epochs_are_those_of_the_settings_and_the_cost_falls(whole):
    rows = whole[0].history
    assert [row["stage"] for row in rows] == ["pretrain"] * 2 + ["prune"] * 5
    costs = [row["cost"] for row in rows[2:]]
    assert costs == sorted(costs, reverse=True) and costs[0] < 0.87 and costs[-1] == pytest.approx(whole[0].cost)
    assert costs[0] - costs[1] > 0.1  # each recovery follows on a share of `delta` of its own
    last = rows[-1]
    chosen = sum(last[f"chosen_{name}"] for name in ("l1", "l2", "eucl", "cos"))
    assert last["removals"] == chosen >= 6 and last["recovery_epochs"] == 2
    assert [json.loads(line)["epoch"] for line in (whole[1] / "metrics.jsonl").read_text().splitlines()] == [
        0, 1, 0, 1, 2, 3, 4
    ]  # fmt: skip


def test_recoveries_run_at_the_rate_of_the_first_removal_and_the_rest_of_the_schedule_follows(whole):
    rates = [row["lr"] for row in whole[0].history]
    start = 0.05 * 0.5 * (1 + math.cos(math.pi * 2 / 7))
    assert rates[2] == rates[3] == pytest.approx(start)  # two recoveries
    assert rates[3] > rates[4] > rates[5] > rates[6] > 0
    assert rates[1] > start  # the last step of pretraining has not reached it


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 4, 5, 9])
def test_killed_inside_the_removal_schedule_and_resumed_ends_with_the_same_bits(step, whole, tmp_path, monkeypatch):
    """Steps 0 and 4 remove filters; 1 and 5 are the first saves after them, 3 is the last one before."""
    plain, sent = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if (name, done) == (("prune", step - 1) if step > 1 else ("pretrain", 8)) and not sent:
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    settings = train_settings(**RUN)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "step", watched)
        with pytest.raises(TrainingInterrupted, match="stage prune"):
            train(settings, output=tmp_path, progress=False)
    saved = tensor_file.read(tmp_path / "state.safetensors", "training-state")[0]
    assert saved["position"]["stage_step"] == step and len(saved["task"]["log"]) > 0
    result = train(settings, output=tmp_path, progress=False, resume=True)
    names = "checkpoint.safetensors"
    resumed, expected = (tensor_file.read(folder / names, "checkpoint")[1] for folder in (tmp_path, whole[1]))
    assert set(resumed) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in resumed.items())
    for row, again in zip(whole[0].history, result.history, strict=True):
        assert {**row, "seconds": 0, "samples_per_s": 0} == {**again, "seconds": 0, "samples_per_s": 0}


@pytest.mark.parametrize(("recovery", "fresh"), [(1, True), (0, False)])
def test_a_recovery_begins_with_a_fresh_optimizer_and_momentum_survives_other_removals(recovery, fresh):
    torch.manual_seed(0)
    network, example = models.build("m-cifarnet", width=0.1), torch.zeros(1, 3, 16, 16)
    full = CostTracker(network, example).dense
    batch = Batch(torch.randn(8, 3, 16, 16), torch.arange(8))
    context = Context(TrainSettings(budget=0.6), network, example, MacCounter, full, iter, lambda count: [batch], iter)
    context = replace(context, mean=lambda value: value)
    method = create("laasp", {"delta": 0.1, "recovery": recovery, "step": 0.05, "epochs": 4})
    task = method.stages(context.train)[1].task(context, Length(4, 10))
    momentum = {name: torch.randn_like(value) for name, value in network.named_parameters()}
    change = task.before_step(0, lambda: momentum)
    if fresh:
        assert not change.momentum and task.due == 10 and task.done == -1 and 0.6 < task.cost <= 0.9
        assert task.before_step(9, dict) is None
    else:
        shapes = {name: value.shape for name, value in change.network.named_parameters()}
        assert {name: value.shape for name, value in change.momentum.items()} == shapes
        assert task.done == 0 and task.cost <= 0.6


def test_with_one_criterion_it_is_its_own_control(whole, tmp_path):
    control = run(tmp_path, criteria="L1")
    last = control.history[-1]
    assert last["chosen_l1"] == last["removals"] > 0 and "chosen_cos" not in last
    assert 0.49 < control.cost <= 0.5
    mine, other = (checkpoint.load(item.checkpoint).model.state_dict() for item in (control, whole[0]))
    assert {name: value.shape for name, value in mine.items()} != {name: value.shape for name, value in other.items()}
    before = [tensor_file.read(folder / "dense.safetensors", "checkpoint")[1] for folder in (tmp_path, whole[1])]
    assert all(torch.equal(value, before[1][name]) for name, value in before[0].items())


@pytest.mark.slow
def test_published_recovery_after_every_removal_lengthens_the_run(tmp_path):
    result = run(tmp_path, delta=0.0, extra_recovery=True, recovery_share=2.0, epochs=3, budget=0.7, samples=20)
    rows = [row for row in result.history if row["stage"] == "prune"]
    recoveries = int(rows[-1]["recovery_epochs"])
    assert recoveries == rows[-1]["removals"] > 3 and len(rows) == recoveries + 3
    assert len({row["lr"] for row in rows[:recoveries]}) == 1 and rows[-1]["lr"] < rows[recoveries]["lr"]


def test_when_the_recoveries_are_used_up_the_rest_leaves_at_once(tmp_path):
    result = run(tmp_path, delta=0.02, recovery_share=0.4, epochs=5, samples=20)
    rows = [row for row in result.history if row["stage"] == "prune"]
    assert len(rows) == 5 and rows[-1]["recovery_epochs"] == 2 and 0.49 < result.cost <= 0.5
    assert rows[1]["cost"] > 0.8 and rows[2]["cost"] == pytest.approx(result.cost)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet-20", "resnet-20-a", "imagenet-mobilenet-v2"])
def test_other_networks_meet_their_budgets(name, tmp_path):
    budget = 0.6
    result = run(tmp_path, model=name, width=0.5, budget=budget, epochs=2, pretrain_epochs=1, samples=20, step=0.1,
                 delta=1.0, reuse=True, criteria=["L1"])  # fmt: skip
    assert budget - 0.01 < result.cost <= budget
    checkpoint.load(result.checkpoint)


def test_a_budget_below_the_caps_and_unknown_options_are_refused_before_training(tmp_path):
    with pytest.raises(ConfigError, match=r"expected more than 0\.\d+, which the layers that keep .* cap"):
        run(tmp_path, cap=0.3, budget=0.3)
    assert not (tmp_path / "dense.safetensors").exists()
    with pytest.raises(ConfigError, match=r"criterion 'L3' is not known, expected one or several of L1"):
        train_settings(**{**RUN, "criteria": "L1,L3"})
    assert create("laasp", {"criteria": ["l1", "cos"]}).settings.criteria == ("L1", "COS")


def test_milestones_are_the_published_schedule():
    own = create("laasp", {"milestones": [60, 120, 160, 190], "epochs": 140}).settings
    assert [own.rate(epoch, 200) for epoch in (59, 60, 130, 199)] == pytest.approx([1, 0.2, 0.04, 0.0016])
