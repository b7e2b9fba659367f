"""FBS and Channel Gating from training to a validated bundle: budget met, resumed bit for bit, the same answers."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from sanp import checkpoint, models
from sanp.checkpoint import tensor_file
from sanp.cost.tracker import CostTracker
from sanp.methods.registry import gate, train_settings
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.validate import validate
from sanp.training import train
from sanp.training.progress import Journal
from sanp_runtime import load
from sanp_runtime.engines.onnxruntime.engine import OnnxEngine
from sanp_targets.errors import AccelerationError, ConfigError, TrainingInterrupted

CASES = {
    "fbs": {"warmup_epochs": 1, "density_step": 0.3, "l1": 1e-4},
    "channel-gating": {"distill": 0.5, "parts": 4},
}


def settings(method, **changes):
    """A run of seconds."""
    values = {
        "method": method, "budget": 0.5, "width": 0.25, "dataset": "mixcues", "image_size": 16, "batch_size": 50,
        "data_options": {"modes": 2, "train_size": 400, "val_size": 10, "test_size": 200}, "pretrain_epochs": 2,
        "joint_epochs": 6, "log_every": 4, **CASES[method],
    }  # fmt: skip
    return train_settings(**{**values, **changes})


@pytest.fixture(scope="module", params=list(CASES))
def whole(request, tmp_path_factory):
    """(method, result, folder) of one uninterrupted run."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("whole")
    return request.param, train(settings(request.param), output=output, progress=False), output


def test_the_budget_is_met_and_comes_back_with_the_file(whole):
    method, result, output = whole
    assert 0.45 < result.cost <= 0.52
    loaded = checkpoint.load(output / "checkpoint.safetensors")
    tracker = CostTracker(loaded.model, loaded.example_input)
    dense = checkpoint.load(output / "dense.safetensors")
    assert tracker.dense == CostTracker(dense.model, dense.example_input).dense
    assert loaded.model.gating.method == method
    costs = [row["cost"] for row in result.history if row["stage"] == "joint"]
    assert costs[0] > costs[-1], "training itself goes to the budget, calibration only ends it"
    assert result.evaluation.cost_p95 > result.evaluation.cost_p5 or method == "fbs"


def test_resuming_changes_no_bit(whole, tmp_path, monkeypatch):
    method, _, output = whole
    plain, sent = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if (name, done) == ("joint", 12) and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "step", watched)
        with pytest.raises(TrainingInterrupted):
            train(settings(method), output=tmp_path, progress=False)
    train(settings(method), output=tmp_path, progress=False, resume=True)
    expected, found = (
        tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")[1] for folder in (output, tmp_path)
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_the_bundle_passes_its_validation(whole, tmp_path):
    method, _, output = whole
    path = output / "checkpoint.safetensors"
    export(path, tmp_path / "model.onnx", samples=32)
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp").bundle
    result = validate(bundle.path, path)
    assert result.passed, result.summary()
    if method == "fbs":
        assert result.proof.passed and result.gates.decisions > 0
        return
    reference = bundle.reference()
    with load(bundle.path) as fast, load(bundle.path, library=None) as slow:
        ran = [row for row in fast.node_times([reference.x[:1]]) if row.op == "SanpPixelGatedConv"]
        assert len(ran) == 7
        assert not [row for row in slow.node_times([reference.x[:1]]) if row.op == "SanpPixelGatedConv"]
        same = [fast(reference.x).logits, slow(reference.x).logits]
    # A pixel whose decision lies within rounding moves a sample; most have none.
    close = np.abs(same[0] - same[1]).max(1) < 1e-4 * np.abs(same[1]).max()
    assert close.mean() > 0.5


def test_a_kernel_that_does_not_run_is_an_error(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = gate(models.build("m-cifarnet", width=0.25), torch.zeros(1, 3, 32, 32), "channel-gating").eval()
    export(model, tmp_path / "model.onnx", example_input=torch.zeros(1, 3, 32, 32))
    monkeypatch.setattr(OnnxEngine, "node_times", lambda self, batches, skip=0: [])
    with pytest.raises(AccelerationError, match="7 of 7 nodes of SanpPixelGatedConv"):
        compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp")
    assert not (tmp_path / "model.sanp").exists()


@pytest.mark.parametrize("method", list(CASES))
def test_a_budget_below_the_floor_is_refused_before_training(method, tmp_path):
    with pytest.raises(ConfigError, match="expected more than"):
        train(settings(method, budget=0.001), output=tmp_path, progress=False)
