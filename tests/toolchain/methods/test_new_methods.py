"""A method that the packages have never heard of: one file here and one line in the registry, and everything works."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import sanp
import sanp_export
import sanp_runtime
import sanp_targets
from sanp import checkpoint, models
from sanp.checkpoint import tensor_file
from sanp.methods.registry import METHODS, gate, train_settings
from sanp.training import train
from sanp.training.progress import Journal
from sanp_targets.errors import ConfigError, TrainingInterrupted

RUN = {
    "width": 0.1, "dataset": "mixcues", "data_options": {"modes": 2, "train_size": 400, "val_size": 10,
    "test_size": 100}, "image_size": 16, "batch_size": 50, "pretrain_epochs": 1, "log_every": 1, "budget": 1.0,
}  # fmt: skip


def weights(folder):
    return tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")[1]


@pytest.fixture
def dummy(monkeypatch):
    monkeypatch.setitem(METHODS, "dummy", "tests.toolchain.methods.dummy:Dummy")


def test_a_gated_method_trains_and_is_exported(dummy, tmp_path):
    settings = train_settings(**RUN, method="dummy", start=0.9, joint_epochs=2)
    result = train(settings, output=tmp_path, progress=False)
    assert [row["stage"] for row in result.history] == ["pretrain", "joint", "joint"]
    loaded = checkpoint.load(result.checkpoint)
    assert loaded.model.gating.method == "dummy" and loaded.model.gating.options["start"] == 0.9
    assert 0 < result.cost < 1 and result.evaluation.dynamic == 0
    exported = sanp.export(result.checkpoint, tmp_path / "model.onnx", samples=8)
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = loaded.model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(session.run(["logits"], {"input": images})[0], expected, rtol=1e-4, atol=1e-5)


def test_its_options_are_checked_everywhere(dummy):
    example = torch.zeros(1, 3, 16, 16)
    for attempt in (
        lambda: train_settings(**RUN, method="dummy", start=-1),
        lambda: gate(models.build("m-cifarnet", width=0.1), example, method="dummy", start=-1),
    ):
        with pytest.raises(ConfigError, match=r"method dummy start is -1"):
            attempt()
    with pytest.raises(ConfigError, match="has no setting 'stat'; did you mean start"):
        train_settings(**RUN, method="dummy", stat=1)


def test_the_command_line_trains_it(tmp_path):
    """In a process of its own, where the one line is added before the command starts."""
    script = (
        "import sys; from sanp.cli.app import main; from sanp.methods.registry import METHODS; "
        "METHODS['dummy'] = 'tests.toolchain.methods.dummy:Dummy'; main()"
    )
    values = {**RUN, "joint_epochs": 1, "start": 0.9}
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-c", script, "train", "--method", "dummy", "-o", str(tmp_path), "--json", *sets]
    paths = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **paths})
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["checkpoint"]).exists()
    assert checkpoint_method(tmp_path) == "dummy"


def checkpoint_method(folder):
    return tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")[0]["config"]["method"]


@pytest.fixture(scope="module")
def narrow_run(tmp_path_factory):
    """An uninterrupted run whose network loses channels before steps 5 and 10 of its second stage."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("narrow")
    METHODS["narrowing"] = "tests.toolchain.methods.narrowing:Narrowing"
    yield train(train_settings(**RUN, method="narrowing"), output=folder, progress=False), folder
    del METHODS["narrowing"]


def test_a_network_that_lost_channels_is_measured_stored_and_loaded(narrow_run):
    result, folder = narrow_run
    model = checkpoint.load(result.checkpoint).model
    assert model.conv3.conv.out_channels == model.conv4.conv.in_channels == 3  # 13 -> 6 -> 3
    assert [row["epoch"] for row in result.history] == [0, 0, 1]  # finished after its second epoch, of four
    dense = checkpoint.load(folder / "dense.safetensors").model
    macs = [tensor.numel() for tensor in (dense.conv3.conv.weight, model.conv3.conv.weight)]
    assert macs[1] * 4 < macs[0] and 0.6 < result.cost < 0.9
    assert result.history[-1]["cost"] == pytest.approx(result.cost)


@pytest.mark.parametrize(("step", "width"), [(3, 13), (5, 13), (6, 6), (10, 6), (11, 3)])
def test_killed_around_a_removal_and_resumed_ends_with_the_same_bits(step, width, narrow_run, tmp_path, monkeypatch):
    plain, sent = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if (name, done) == ("narrow", step - 1) and not sent:  # the step that has begun is finished first
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    settings = train_settings(**RUN, method="narrowing")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "step", watched)
        with pytest.raises(TrainingInterrupted, match="stage narrow"):
            train(settings, output=tmp_path, progress=False)
    description, tensors = tensor_file.read(tmp_path / "state.safetensors", "training-state")
    assert description["position"]["stage_step"] == step
    assert description["architecture"]["widths"]["conv3.conv"][1] == width
    assert len(tensors["momentum.conv3.conv.weight"]) == width
    result = train(settings, output=tmp_path, progress=False, resume=True)
    resumed, whole = weights(tmp_path), weights(narrow_run[1])
    apart = {name: float((whole[name].double() - value.double()).abs().max()) for name, value in resumed.items()}
    assert set(resumed) == set(whole) and not any(apart.values()), apart
    for row, again in zip(narrow_run[0].history, result.history, strict=True):
        assert {**row, "seconds": 0, "samples_per_s": 0} == {**again, "seconds": 0, "samples_per_s": 0}


PACKAGES = (sanp, sanp_export, sanp_runtime, sanp_targets)


def sources():
    for package in PACKAGES:
        root = Path(package.__file__).parent
        yield from (path for path in root.rglob("*.py") if path.relative_to(root).parts[0] != "methods")


# "sanp" is also the package, "dense" a variant of a bundle, "narrow" an operation of PyTorch.
WORDS = ("sanp", "dense", "narrow")
NAMES = set(METHODS) - {"dense"}  # also a kind of support, which is compared with


def test_no_other_file_knows_the_name_of_a_method():
    """String literals that are a method's name. Words with another meaning may be keys or defaults: only comparisons
    with them count."""
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            compared = [*node.comparators, node.left] if isinstance(node, ast.Compare) else []
            literals = [row.value for row in compared if isinstance(row, ast.Constant)]
            if isinstance(node, ast.Constant) and node.value not in WORDS:
                literals.append(node.value)
            found += [f"{path.name}:{node.lineno} {value}" for value in literals if value in NAMES]
    assert not found
