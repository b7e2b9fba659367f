"""Training for a time: the table decides what closes, the checkpoint says what was predicted, mistakes are named."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

import sanp
from sanp import checkpoint, models
from sanp.cost.latency import LatencyBudget
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.methods.registry import create, gate, train_settings
from sanp.methods.stage import Context, Length
from sanp.settings.train import TrainSettings
from sanp.training.latency import with_share
from sanp_runtime.latency.table import digest
from sanp_targets.errors import ConfigError, InputError
from tests.support.latency_tables import table_for

SMALL = {
    "width": 0.2, "image_size": 16, "dataset": "digits", "pretrain_epochs": 1, "warmup_epochs": 0, "joint_epochs": 3,
    "threads": 1, "ramp": 0.2, "cost_gain": 2.0,
}  # fmt: skip


def layers_of(width=0.2):
    x = torch.zeros(1, 3, 16, 16)
    return CostTracker(gate(models.build("m-cifarnet", width=width), x), x).layers


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table on which the first layers are slow, whatever their MACs."""
    path = tmp_path_factory.mktemp("table") / "table.json"
    made = table_for(layers_of(), slower=("conv1.conv",))
    made.save(path)
    return path, made


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    path, made = table
    budget = f"{0.6 * made.dense_ms}ms"
    folder = tmp_path_factory.mktemp("run")
    return sanp.train(output=folder / "run", progress=False, budget_latency=budget, table=path, **SMALL)


def test_the_budget_is_met_and_recorded(trained, table):
    path, made = table
    loaded = checkpoint.load(trained.checkpoint)
    found = loaded.metadata["latency"]
    assert found == trained.latency.to_json() and found["table_sha256"] == digest(path)
    assert found["budget_ms"] == pytest.approx(0.6 * made.dense_ms) and found["device_name"] == "a formula"
    assert 0.3 < found["predicted_ms"] / made.dense_ms <= 0.63 and found["p5_ms"] <= found["predicted_ms"]
    assert loaded.config.budget_latency is not None and loaded.config.budget == pytest.approx(0.6)
    assert set(loaded.metadata["dense_cost"]) == {"MACs"}, "the cost that is reported stays that of MACs"
    assert trained.cost == loaded.metadata["test"]["cost"] != pytest.approx(found["predicted_ms"] / made.dense_ms)


def test_the_slow_layer_weighs_most(table):
    _, made = table
    x = torch.zeros(1, 3, 16, 16)
    network = gate(models.build("m-cifarnet", width=0.2), x)
    by_time = CostTracker(network, x, LatencyBudget(0.1, made).counter).filter_shares()
    by_macs = CostTracker(network, x).filter_shares()
    times, macs = ({name: float(share.mean()) for name, share in shares.items()} for shares in (by_time, by_macs))
    dearer = {name: times[name] / macs[name] for name in macs}
    # A filter of the first layer is an input of the slow one.
    assert set(sorted(dearer, key=dearer.get)[-2:]) == {"conv0.conv", "conv1.conv"}


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"budget_latency": "2.5"}, ConfigError, "expected to be a positive time with its unit, such as 2.5ms"),
        ({"budget_latency": 2.5}, ConfigError, "with its unit"),
        ({"table": None}, ConfigError, "without a table"),
        ({"budget_latency": None}, ConfigError, "without budget_latency"),
        ({"budget": 0.5}, ConfigError, "expected one of them"),
        ({"budget_latency": "1s"}, ConfigError, "which the dense network takes on a formula"),
        ({"budget_latency": "1us"}, ConfigError, r"expected more than [0-9.]+ ms, which the gates, the layers without"),
        ({"width": 0.3}, ConfigError, "expected the same network with the same gates"),
        ({"method": "narrow"}, ConfigError, "which is for methods that close channels"),
        ({"table": "nowhere.json"}, InputError, "cannot be read as a latency table"),
    ],
)
def test_what_cannot_be_is_refused(changed, error, sentence, table, tmp_path):
    path, made = table
    given = {**SMALL, "budget_latency": f"{0.6 * made.dense_ms}ms", "table": path, **changed}
    if given.get("method") == "narrow":
        given = {key: value for key, value in given.items() if key in TrainSettings.model_fields}
    with pytest.raises(error, match=sentence):
        sanp.train(output=tmp_path / "run", progress=False, **given)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_table_that_must_not_be_quoted_is_told(table, tmp_path, monkeypatch):
    _, made = table
    path = tmp_path / "noisy.json"
    replace(made, validity={"verdict": "THROTTLED", "reasons": ["too hot"]}).save(path)

    def load_data(settings):
        raise InputError("no further")

    monkeypatch.setattr("sanp.training.start.load_data", load_data)
    given = {**SMALL, "budget_latency": f"{0.6 * made.dense_ms}ms", "output": tmp_path / "run", "progress": False}
    with pytest.warns(UserWarning, match=r"noisy\.json is THROTTLED \(too hot\)"), pytest.raises(InputError):
        sanp.train(**given, table=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(InputError, match="no further"):
            sanp.train(**given, table=table[0])


def test_the_target_of_a_time_begins_at_that_of_open_gates(table):
    path, made = table
    x = torch.zeros(1, 3, 16, 16)
    network = gate(models.build("m-cifarnet", width=0.2), x)
    for budget, start in ((LatencyBudget(0.6 * made.dense_ms, made), made.open_ms / made.dense_ms), (None, 1.0)):
        goal = {"budget": 0.6} if budget is None else {"budget_latency": f"{budget.ms}ms", "table": path}
        settings = with_share(train_settings(**goal), budget)
        counter = MacCounter if budget is None else budget.counter
        none = lambda count: iter(())  # noqa: E731
        context = Context(
            settings, network, x, counter, CostTracker(network, x, counter).dense, none, none, lambda t: t
        )
        task = create("sanp", {}).task(context, Length(2, 10))
        assert task.controller.target(0.0) == pytest.approx(start) and start >= 1
        assert task.controller.target(1.0) == pytest.approx(0.62)


def test_settings_of_a_checkpoint_are_read_again(trained):
    """They hold the share beside the time, which nobody may ask for himself."""
    settings = checkpoint.load(trained.checkpoint).config
    assert TrainSettings.checked(**settings.model_dump(mode="json")) == settings
    with pytest.raises(ConfigError, match="expected one of them"):
        train_settings(budget=0.5, budget_latency="1ms", table="table.json")
