"""The stage of `int8`: after a run or alone, resumed to the same bits, for every gated method; what it gains back."""

from __future__ import annotations

import signal

import numpy as np
import onnxruntime
import pytest
import torch

from benchmarks.training.outliers import with_outliers
from sanp import checkpoint, data
from sanp.data.batch import Batch
from sanp.data.own import TrainingData
from sanp.gating import gated_layers
from sanp.methods.registry import train_settings
from sanp.pipeline.compile.int8.control import opened, quantised
from sanp.pipeline.compile.int8.ranges import learned_steps
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.train import chosen_settings
from sanp.pipeline.train import train as run
from sanp.quantising.network import as_float32, fake_quantise, measure_ranges
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp.training.evaluation import evaluate
from sanp_export.graph import model_file
from sanp_runtime.contract import INPUT, LOGITS
from sanp_targets.errors import ConfigError, InputError, TrainingInterrupted
from tests.toolchain.training.test_run import interrupt_at, tiny, weights

SETTINGS = tiny(int8=True, int8_epochs=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("int8")
    return train(SETTINGS, output=output, progress=False), output


def test_the_checkpoint_is_a_float_network_with_its_ranges(whole):
    result, _ = whole
    assert [row["stage"] for row in result.history][-3:] == ["joint", "int8", "int8"]
    found = checkpoint.load(result.checkpoint)
    learned = found.metadata["int8"]
    assert set(learned["ranges"]) == set(gated_layers(found.model))  # the head has a map of one pixel
    assert all(low <= 0 <= high and high > low for row in learned["ranges"].values() for low, high in row.values())
    assert found.metadata["test"]["accuracy"] == result.accuracy and "accuracy" in learned["float32"]
    assert all(row["y"][0] == 0 for row in learned["ranges"].values()), "behind a ReLU the zero point is 0"
    assert result.cost <= 0.36
    fake_quantise(found.model, found.example_input)  # a loaded network can be trained further


def test_the_export_carries_them_and_inspect_shows_them(whole, tmp_path):
    result, _ = whole
    export(result.checkpoint, tmp_path / "model.onnx", samples=0)
    model = model_file.read(tmp_path / "model.onnx")
    ranges = checkpoint.load(result.checkpoint).metadata["int8"]["ranges"]
    assert model_file.ranges_of(model) == ranges
    assert inspect(tmp_path / "model.onnx")["about"]["int8_ranges"] == ranges
    assert inspect(result.checkpoint)["about"]["metadata"]["int8"]["ranges"] == ranges
    properties = {**model_file.metadata_of(model), model_file.RANGES_KEY: '{"a": {"x": [1, 2]}}'}
    with pytest.raises(InputError, match="smallest value"):
        model_file.ranges_of(model_file.to_model(model_file.to_graph(model), properties))


def test_resuming_inside_the_stage_changes_no_bit(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, signal.SIGINT, "int8", 4)
        with pytest.raises(TrainingInterrupted, match="stage int8"):
            train(SETTINGS, output=tmp_path, progress=False)
    result = train(SETTINGS, output=tmp_path, progress=False, resume=True)
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in weights(whole[1]).items())
    ranges = [checkpoint.load(path).metadata["int8"] for path in (result.checkpoint, whole[0].checkpoint)]
    assert ranges[0] == ranges[1]


def test_a_trained_network_needs_no_other_stage_and_no_settings(whole, tmp_path):
    result = run(output=tmp_path, progress=False, trained=str(whole[0].checkpoint), int8=True, int8_epochs=1)
    assert [row["stage"] for row in result.history] == ["int8"]
    assert result.dense_accuracy == whole[0].dense_accuracy
    chosen = chosen_settings(trained=str(whole[0].checkpoint), int8=True, seed=3)
    assert (chosen.width, chosen.image_size, chosen.seed) == (SETTINGS.width, SETTINGS.image_size, 3)
    assert chosen.options == SETTINGS.options and chosen.int8 and chosen.int8_epochs == SETTINGS.int8_epochs


def test_another_goal_takes_the_place_of_the_trained_one(whole, tmp_path):
    trained = str(whole[0].checkpoint)
    timed = chosen_settings(trained=trained, int8=True, budget_latency="2ms", table="table.json")
    assert timed.budget_latency == "2ms" and timed.budget == TrainSettings.model_fields["budget"].default
    made = checkpoint.load(trained)
    checkpoint.save(tmp_path / "timed.safetensors", made.model, timed.model_copy(update={"budget": 0.2}))
    back = chosen_settings(trained=str(tmp_path / "timed.safetensors"), int8=True, budget=0.5)
    assert (back.budget, back.budget_latency, back.table) == (0.5, None, None)
    same = chosen_settings(trained=str(tmp_path / "timed.safetensors"), int8=True)
    assert (same.budget_latency, str(same.table)) == ("2ms", "table.json")


@pytest.mark.parametrize("method", ["static", "fbs"])
def test_other_gated_methods(method, tmp_path):
    short = {"pretrain_epochs": 0, "warmup_epochs": 0, "joint_epochs": 1, "width": 0.06}
    result = train(tiny(int8=True, int8_epochs=1, method=method, **short), output=tmp_path, progress=False)
    assert checkpoint.load(result.checkpoint).metadata["int8"]["ranges"] and result.cost < 0.38


def test_what_cannot_be_trained_so(whole, tmp_path):
    with pytest.raises(ConfigError, match="--int8"):
        chosen_settings(trained=str(whole[0].checkpoint))
    with pytest.raises(ConfigError, match="method sanp"):
        run(output=tmp_path / "a", progress=False, trained=str(whole[0].checkpoint), int8=True, method="static")
    with pytest.raises(ConfigError, match="dense and the method is sanp"):
        run(output=tmp_path / "b", progress=False, trained=str(whole[1] / "dense.safetensors"), int8=True)
    trained = str(whole[0].checkpoint)
    for other, value in (("pretrained", whole[1] / "dense.safetensors"), ("weights", tmp_path / "weights.pt")):
        with pytest.raises(ConfigError, match=f"{other} is .* beside trained"):
            chosen_settings(trained=trained, int8=True, **{other: value})
    for key, value in (("width", 2 * SETTINGS.width), ("model", "vgg-16")):
        with pytest.raises(ConfigError, match=f"holds a network of {key}"):
            run(output=tmp_path / key, progress=False, trained=trained, int8=True, budget=0.9, **{key: value})
    made = checkpoint.load(trained)
    batch = (torch.rand(8, *made.example_input.shape[1:]), torch.arange(8) % 3)
    few = TrainingData([batch], [batch], class_names=("a", "b", "c"))
    with pytest.raises(ConfigError, match="for 3 classes has"):
        run(SETTINGS.model, few, output=tmp_path / "few", progress=False, trained=trained, int8=True)
    for method in ("dense", "l1", "channel-gating"):
        with pytest.raises(ConfigError, match="channel gates"):
            train(train_settings(int8=True, method=method), output=tmp_path, progress=False)


def batches(split):
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    return [Batch(images[at : at + 100], labels[at : at + 100]) for at in range(0, len(images), 100)]


@pytest.mark.slow
def test_it_gains_back_what_plain_calibration_loses(tmp_path):
    """On digits: filters with one weight far above the others keep few steps for these."""
    torch.set_num_threads(1)
    common = {"width": 0.2, "image_size": 16, "batch_size": 32, "budget": 0.7}
    settings = train_settings(**common, pretrain_epochs=4, warmup_epochs=1, joint_epochs=2)
    made = checkpoint.load(train(settings, output=tmp_path / "float", progress=False).checkpoint)
    split = data.load("digits", image_size=16)
    test, some = batches(split.test), batches(split.train)[:4]
    with_outliers(made.model, some[0].images)
    before = evaluate(made.model, test).accuracy
    path = tmp_path / "outliers.safetensors"
    checkpoint.save(path, made.model, made.config, num_classes=10, metadata=made.metadata)
    fake_quantise(made.model, made.example_input)
    measure_ranges(made.model, some)
    plain = evaluate(made.model, test).accuracy
    as_float32(made.model)
    assert plain < before - 0.06, (before, plain)
    result = run(output=tmp_path / "int8", progress=False, trained=str(path), int8=True, int8_epochs=2)
    assert result.accuracy > before, (before, plain, result.accuracy)
    # And the compiled network, standard operators on its learned ranges, is that accurate.
    export(result.checkpoint, tmp_path / "model.onnx", samples=0)
    model = model_file.read(tmp_path / "model.onnx")
    model = quantised(model, list(model_file.ranges_of(model)), learned_steps(opened(model), split.test.images[:1]))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    right = [session.run([LOGITS], {INPUT: b.images.numpy()})[0].argmax(1) == b.labels.numpy() for b in test]
    assert np.concatenate(right).mean() == pytest.approx(result.accuracy, abs=0.006)
