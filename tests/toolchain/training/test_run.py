"""Whole training runs on a tiny network: files, resuming bit for bit, signals, broken losses."""

from __future__ import annotations

import json
import math
import os
import signal

import pytest
import torch

from sanp import checkpoint
from sanp.checkpoint import tensor_file
from sanp.gating import gated_layers
from sanp.methods.registry import METHODS, find, train_settings
from sanp.methods.stage import Task
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp.training.interrupt import stop_on_signal
from sanp.training.loop import Loop
from sanp.training.progress import Journal
from sanp_targets.errors import ConfigError, InputError, TrainingInterrupted, ValidationError


def tiny(**changes):
    """Settings of a run of seconds."""
    values = {
        "width": 0.1, "dataset": "mixcues", "data_options": {"modes": 2, "train_size": 400, "val_size": 10,
        "test_size": 100}, "image_size": 16, "batch_size": 50, "pretrain_epochs": 2, "warmup_epochs": 1,
        "joint_epochs": 3, "log_every": 4,
    }  # fmt: skip
    return train_settings(**{**values, **changes})


TINY = tiny()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("whole")
    return train(TINY, output=output, progress=False), output


def weights(folder):
    return tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")[1]


def interrupt_at(monkeypatch, number, stage, step):
    """Send a real signal when a stage reaches a step (the journal is told about every check)."""
    plain, sent = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if (name, done) == (stage, step) and not sent:
            sent.append(number)  # a second signal would end this process, as it should
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Journal, "step", watched)


def test_files_result_and_metrics(whole):
    result, output = whole
    assert {item.name for item in output.iterdir()} >= {
        "checkpoint.safetensors", "dense.safetensors", "state.safetensors", "metrics.jsonl", "tensorboard",
    }  # fmt: skip
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["pretrain"] * 2 + ["warmup"] + ["joint"] * 3
    assert rows[-1]["cost"] < 1 and rows[-1]["samples_per_s"] > 0
    found = checkpoint.load(result.checkpoint)
    assert found.metadata["test"]["accuracy"] == result.accuracy
    assert found.metadata["dense_accuracy"] == result.dense_accuracy
    dense = checkpoint.load(output / "dense.safetensors")
    assert getattr(dense.model, "gating", None) is None and dense.config == TINY


def test_same_seed_same_bits_other_seed_other_bits(whole, tmp_path):
    train(TINY, output=tmp_path / "again", progress=False)
    again = weights(tmp_path / "again")
    assert all(torch.equal(value, again[name]) for name, value in weights(whole[1]).items())
    train(tiny(**{"seed": 1}), output=tmp_path / "other", progress=False)
    assert not torch.equal(again["head.weight"], weights(tmp_path / "other")["head.weight"])


def test_training_leaves_the_callers_random_state_alone(tmp_path):
    config = tiny(**{"pretrain_epochs": 1, "warmup_epochs": 0, "joint_epochs": 0})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(config, output=tmp_path, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("number", "stage", "step"),
    [(signal.SIGINT, "pretrain", 4), (signal.SIGTERM, "warmup", 4), (signal.SIGINT, "joint", 12)],
)
def test_resuming_after_a_signal_changes_no_bit(number, stage, step, whole, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)  # a shell starts background jobs with SIGINT ignored
    with monkeypatch.context() as patch:
        interrupt_at(patch, number, stage, step)
        with pytest.raises(TrainingInterrupted, match=f"stage {stage}") as stopped:
            train(TINY, output=tmp_path, progress=False)
    assert stopped.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "checkpoint.safetensors").exists()
    result = train(TINY, output=tmp_path, progress=False, resume=True)
    resumed = weights(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(whole[1]).items())
    plain = [{k: v for k, v in row.items() if k not in ("seconds", "samples_per_s")} for row in whole[0].history]
    again = [{k: v for k, v in row.items() if k not in ("seconds", "samples_per_s")} for row in result.history]
    assert again == plain


def test_a_signal_after_the_last_step_is_not_lost():
    arrived = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: arrived.append(number))
    try:
        with stop_on_signal() as request:
            signal.raise_signal(signal.SIGTERM)
            assert request.signal == signal.SIGTERM and not arrived
        assert arrived == [signal.SIGTERM]
        with stop_on_signal():
            pass
        assert len(arrived) == 1
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted(folder, monkeypatch, config=TINY, step=4):
    """A run that was stopped in its first epoch."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, signal.SIGINT, "pretrain", step)
        with pytest.raises(TrainingInterrupted):
            train(config, output=folder, progress=False)


def test_a_resume_where_sums_round_differently_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Journal, "say", lambda self, message: said.append(message))
    interrupted(tmp_path, monkeypatch)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "abacus")
    train(TINY, output=tmp_path, progress=False, resume=True)
    assert len(said) == 1 and "round differently" in said[0] and ", now abacus" in said[0]


# A few steps: on a busy machine two threads wait for each other.
SHORT = {
    "data_options": {"modes": 2, "train_size": 200, "val_size": 10, "test_size": 50}, "pretrain_epochs": 1,
    "warmup_epochs": 0, "joint_epochs": 1, "log_every": 1, "calibrate": False, "budget": 1.0,
}  # fmt: skip


def test_a_resume_keeps_the_threads_of_the_run_before(tmp_path, monkeypatch):
    """Fewer processors, another affinity or another OMP_NUM_THREADS must not change what the rest of a run adds up."""
    said, config = [], tiny(**SHORT)
    monkeypatch.setattr(Journal, "say", lambda self, message: said.append(message))
    train(config, output=tmp_path / "one", progress=False)
    torch.set_num_threads(2)
    train(config, output=tmp_path / "two", progress=False)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert any(not torch.equal(value, one[name]) for name, value in two.items()), "threads change the last bits"
    interrupted(tmp_path / "stopped", monkeypatch, config, step=2)
    torch.set_num_threads(1)
    train(config, output=tmp_path / "stopped", progress=False, resume=True)
    assert torch.get_num_threads() == 1, "the caller has its own number again"
    assert said == ["resumed with 2 threads, as the run began, not the 1 of this process: sums round alike"]
    resumed = weights(tmp_path / "stopped")
    assert all(torch.equal(value, resumed[name]) for name, value in two.items())


def test_threads_that_are_asked_for_are_used_and_their_rounding_is_told(tmp_path, monkeypatch):
    said, used = [], []
    monkeypatch.setattr(Journal, "say", lambda self, message: said.append(message))
    interrupted(tmp_path, monkeypatch, tiny(**SHORT, threads=1), step=2)
    monkeypatch.setattr(Journal, "epoch", lambda self, row: used.append(torch.get_num_threads()))
    train(tiny(**SHORT, threads=2), output=tmp_path, progress=False, resume=True)
    assert set(used) == {2} and len(said) == 1 and "threads 1, now 2" in said[0]


@pytest.mark.parametrize("stage", ["warmup", "joint"])
def test_killed_in_the_first_step_of_a_stage(stage, whole, tmp_path, monkeypatch):
    """All that is left is the state of the stage's beginning, in which no task has anything to remember."""
    plain = Loop._step

    def killed(self, active, batch, position):
        if position.stage == stage:
            raise KeyboardInterrupt
        return plain(self, active, batch, position)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, output=tmp_path, progress=False)
    train(TINY, output=tmp_path, progress=False, resume=True)
    resumed = weights(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(whole[1]).items())


def test_resuming_a_finished_run_returns_its_result(whole):
    metrics = whole[1] / "metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text(before + before)  # epochs after the saved state, as a killed run leaves them
    again = train(TINY, output=whole[1], progress=False, resume=True)
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert rows == [json.loads(line) for line in before.splitlines()]
    assert (again.accuracy, again.cost) == (whole[0].accuracy, whole[0].cost)


def test_resuming_with_another_configuration_is_refused(whole):
    with pytest.raises(ConfigError, match=r"budget = 0\.35 and the configuration says 0\.5"):
        train(tiny(**{"budget": 0.5}), output=whole[1], progress=False, resume=True)


def test_resuming_without_or_from_a_damaged_state(whole, tmp_path):
    with pytest.raises(InputError, match=r"state\.safetensors"):
        train(TINY, output=tmp_path, progress=False, resume=True)
    data = bytearray((whole[1] / "state.safetensors").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "state.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="sha256"):
        train(TINY, output=tmp_path, progress=False, resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    real = Task.loss

    def broken(self, logits, batch):
        frozen = not next(self.context.network.get_submodule("conv0.conv").parameters()).requires_grad
        return real(self, logits, batch) * (float("nan") if frozen else 1.0)

    monkeypatch.setattr(Task, "loss", broken)
    with pytest.raises(InputError, match="loss became nan in stage warmup, epoch 1"):
        train(TINY, output=tmp_path, progress=False)
    description, tensors = tensor_file.read(tmp_path / "state.safetensors", "training-state")
    assert description["position"]["stage"] == "warmup"
    assert all(torch.isfinite(value.double()).all() for value in tensors.values())
    monkeypatch.undo()
    train(TINY, output=tmp_path, progress=False, resume=True)


def test_a_pretrained_backbone_replaces_the_first_stage(whole, tmp_path):
    config = tiny(**{"pretrained": whole[1] / "dense.safetensors"})
    result = train(config, output=tmp_path, progress=False)
    assert [row["stage"] for row in result.history] == ["warmup"] + ["joint"] * 3
    same = weights(tmp_path)
    assert all(torch.equal(value, same[name]) for name, value in weights(whole[1]).items())
    with pytest.raises(ConfigError, match=r"does not hold a dense m-cifarnet x0.2"):
        train(config.model_copy(update={"width": 0.2}), output=tmp_path / "b", progress=False)


@pytest.mark.parametrize("method", ["static", "fixed-k", "random"])
def test_other_methods_run(method, tmp_path):
    config = tiny(**{"method": method, "pretrain_epochs": 1, "joint_epochs": 2, "budget": 0.5})
    result = train(config, output=tmp_path, progress=False)
    assert result.cost == pytest.approx(0.5, abs=0.1)
    found = checkpoint.load(result.checkpoint).model
    if method == "fixed-k":  # the channels are planned while training and must come back with the file
        assert found.gating.options["density"] == pytest.approx(0.7, abs=0.05)
        kept = {name: layer.gate.k for name, layer in gated_layers(found).items()}
        assert kept == found.gating.options["channels"] and list(kept.values())[1:3] == [4, 9]
    if method == "static":
        assert result.evaluation.dynamic == 0
    else:
        assert result.evaluation.dynamic > 0.3


def test_a_budget_below_the_floor_is_refused_before_training(tmp_path):
    """2.3 % at this width: gates, head, and one channel per layer."""
    with pytest.raises(ConfigError, match=r"budget is 0\.02 of the dense cost, expected more than 0\.02\d\d"):
        train(tiny(budget=0.02), output=tmp_path, progress=False)
    assert not (tmp_path / "state.safetensors").exists()


def test_a_missed_budget_is_an_error_after_the_checkpoint_was_written(tmp_path):
    config = tiny(budget=0.05, calibrate=False, pretrain_epochs=1, joint_epochs=1)
    with pytest.raises(ValidationError, match=r"costs .* expected at most the budget of 5\.0%") as missed:
        train(config, output=tmp_path, progress=False)
    assert missed.value.exit_code == 1
    assert checkpoint.load(tmp_path / "checkpoint.safetensors").metadata["test"]["cost"] > 0.08
    with pytest.raises(ValidationError):  # and again, without training
        train(config, output=tmp_path, progress=False, resume=True)


def test_oracle_needs_a_data_set_with_modes(tmp_path):
    quick = {"pretrain_epochs": 1, "warmup_epochs": 1, "joint_epochs": 1, "method": "oracle"}
    with pytest.raises(ConfigError, match="mode labels"):
        train(tiny(**{**quick, "dataset": "digits", "data_options": {}}), output=tmp_path, progress=False)
    config = TINY.model_copy(update=quick)
    assert train(config, output=tmp_path, progress=False).cost <= 1.1


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_mixed_precision_keeps_gates_in_float32(precision, tmp_path):
    config = tiny(**{"budget": 1.0, "precision": precision, "pretrain_epochs": 1, "joint_epochs": 1})
    result = train(config, output=tmp_path, progress=False)
    assert all(math.isfinite(row["loss"]) for row in result.history)
    network = checkpoint.load(result.checkpoint).model.train()
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(4, 3, 16, 16)).dtype is torch.bfloat16
    assert {layer.scale.dtype for layer in gated_layers(network).values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"budgett": 0.3}, "budgett"), ({"budget": 0}, "budget is 0"), ({"method": "magic"}, "method 'magic'"),
        ({"lr": -1}, "lr is -1"), ({"pretrain_epochs": 1.5}, "pretrain_epochs"),
    ],
)  # fmt: skip
def test_wrong_configurations_name_the_key(change, says):
    with pytest.raises(ConfigError, match=says):
        train_settings(**change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"device": "tpu"}, "tpu"), ({"device": "cuda:99"}, "CUDA devices"), ({"dataset": "mnist"}, "digits"),
        ({"model": "lenet"}, "m-cifarnet"), ({"data_options": {"hue": 1}}, "no option hue"),
        ({"data_options": {"root": "x"}}, "data_options has the key root"),
        ({"data_options": {"image_size": 32}}, "data_options has the key image_size"),
    ],
)  # fmt: skip
def test_runs_that_cannot_start_say_why(change, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        train(TINY.model_copy(update=change), output=tmp_path, progress=False)


def test_every_option_has_a_description():
    assert all(field.description for field in TrainSettings.model_fields.values())
    for name in METHODS:
        assert all(field.description for field in find(name).Settings.model_fields.values())


def test_metrics_are_json_whatever_the_numbers(tmp_path):
    from sanp.training.progress import Journal

    with Journal(tmp_path, show=False) as journal:
        journal.epoch({"stage": "joint", "epoch": 1, "loss": float("nan"), "cost": 0.5})
        journal.epoch({"stage": "joint", "epoch": 2, "loss": float("inf"), "cost": 0.5})

    def refused(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    rows = [json.loads(line, parse_constant=refused) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [None, None] and rows[0]["cost"] == 0.5
