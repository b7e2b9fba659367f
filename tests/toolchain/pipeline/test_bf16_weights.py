"""`sanp compile --bf16-weights`: what is rounded, what is reported, who refuses, and that validation stays true."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from typer.testing import CliRunner

from sanp.cli.app import app
from sanp.pipeline.compile import onnxruntime as compiling
from sanp.pipeline.compile.bf16_weights import SMALL_MAP
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.validate import validate
from sanp.report.sections.commands import engine_options
from sanp.settings.validate import ValidateSettings
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.contract import LOGITS
from sanp_runtime.engines.onnxruntime.library import OpLibrary
from sanp_runtime.engines.onnxruntime.session import open_session
from sanp_targets.errors import ConfigError
from tests.support.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow

VARIANTS = ("gated", "open", "replay", "dense")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(checkpoint, model, plain bundle, rounded bundle) of a network whose last stage has 4x4 maps."""
    folder = tmp_path_factory.mktemp("bf16")
    path = make_checkpoint(folder / "checkpoint.safetensors", "resnet-18", width=0.25)
    export(path, folder / "model.onnx", samples=16)
    plain = compile_model(folder / "model.onnx", folder / "plain.sanp").bundle
    return (
        path,
        folder / "model.onnx",
        plain,
        compile_model(folder / "model.onnx", folder / "rounded.sanp", bf16_weights=True).bundle,
    )


def weights(bundle, graph):
    """Weight tensors of a graph of a bundle by name."""
    model = onnx.load(bundle.variant(graph))
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if len(tensor.dims) == 4}


def test_small_maps_are_rounded_in_every_graph_and_stored_once(made):
    _, _, plain, rounded = made
    small = {row.name for row in plain.manifest.layers if row.gated and row.out_hw[0] * row.out_hw[1] <= 16}
    assert set(rounded.manifest.rounded) == small and 0 < len(small) < len(plain.manifest.gated)
    changed = set()
    for graph in VARIANTS:
        before, after = weights(plain, graph), weights(rounded, graph)
        assert set(before) == set(after)
        for name, values in after.items():
            if np.array_equal(values, before[name]):
                continue
            changed.add(name)
            expected = torch.from_numpy(before[name].copy()).to(torch.bfloat16).float().numpy()
            np.testing.assert_array_equal(values, expected, err_msg=f"{graph} {name}")
            error = np.sqrt(np.mean((expected - before[name]) ** 2) / np.mean(before[name] ** 2))
            assert any(found == pytest.approx(error, rel=1e-3) for found in rounded.manifest.rounded.values()), name
    assert len(changed) == len(small)
    assert rounded.manifest.files["weights.bin"].size == plain.manifest.files["weights.bin"].size


def test_the_reported_change_of_the_answers_is_that_of_plain_onnx_runtime(made):
    _, _, plain, rounded = made
    x = plain.reference().x
    with load(plain.path, library=None) as before, load(rounded.path, library=None) as after:
        first, second = before(x), after(x)
    answers = rounded.manifest.build["bf16_weights"]["answers"]
    changes = answers["outputs"]["logits"]
    difference = np.abs(first.logits - second.logits).max()
    assert difference > 0 and changes["largest_difference"] == pytest.approx(difference, rel=1e-3)
    assert changes["largest"] == pytest.approx(np.abs(first.logits).max(), rel=1e-5)
    assert answers["changed_predictions"] == (first.logits.argmax(1) != second.logits.argmax(1)).sum()
    opened = [np.concatenate([gate != 0 for gate in result.gates.values()], 1) for result in (first, second)]
    assert (answers["gates"], answers["changed_gates"]) == (opened[0].size, (opened[0] != opened[1]).sum())
    assert answers["samples"] == len(x) == 16


def test_a_static_gate_counts_once_per_sample(tmp_path):
    path = make_checkpoint(tmp_path / "checkpoint.safetensors", "resnet-18", "static", width=0.0625)
    export(path, tmp_path / "model.onnx", samples=5)
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "static.sanp", bf16_weights=True).bundle
    channels = sum(bundle.manifest.layer(name).c_out for name in bundle.manifest.gated)
    assert bundle.manifest.build["bf16_weights"]["answers"]["gates"] == 5 * channels


def test_all_levels_pass_and_a_wrong_file_is_still_seen(made, tmp_path):
    path, _, _, rounded = made
    result = validate(rounded.path, path, ValidateSettings(limit=64))
    assert result.passed, [report.summary() for report in result.levels().values()]
    assert result.replay.standard is not None and result.replay.standard.worst_share < 0.5
    json.dumps(result.to_json(), allow_nan=False)
    # The same bundle that does not admit its rounding has to fail: the levels are not just wider.
    manifest = dataclasses.replace(rounded.manifest, build={})
    hidden = dataclasses.replace(rounded, manifest=manifest)
    from sanp import checkpoint
    from sanp.pipeline.export import test_samples
    from sanp.pipeline.validate import compare

    loaded = checkpoint.load(path)
    images, labels = test_samples(loaded, 32, None)
    assert not compare(hidden, loaded.model, images, labels, ValidateSettings()).replay.passed


def test_the_library_answers_as_without_16_bits(made):
    _, _, _, rounded = made
    library, feeds = OpLibrary(rounded.library()), {rounded.manifest.input["name"]: rounded.reference().x}
    answers = []
    for on in (False, True):
        entries = library.session_entries(bf16_weights=on)
        session = open_session(rounded.variant("gated"), 1, library.path, entries=entries)
        answers.append(session.run([LOGITS], feeds)[0])
    np.testing.assert_array_equal(*answers)


def test_the_command_prints_and_records_the_error(made, tmp_path):
    _, model, _, rounded = made
    result = CliRunner().invoke(app, ["compile", str(model), "-o", str(tmp_path / "a.sanp"), "--bf16-weights"])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    for name in rounded.manifest.rounded:
        assert f"{name}: weights rounded to bfloat16, relative error 1." in text
    assert "On 16 samples outputs change: logits by at most" in text
    assert open_bundle(tmp_path / "a.sanp").manifest.options["bf16_weights"] is True
    done = CliRunner().invoke(app, ["compile", str(model), "-o", str(tmp_path / "b.sanp"), "--bf16-weights", "--json"])
    assert json.loads(done.stdout)["record"]["bf16_weights"] == rounded.manifest.build["bf16_weights"]
    assert "layer4.0.conv1" in inspect(rounded.path)["about"]["bf16_weights"]
    manifest = rounded.manifest.to_json()
    assert engine_options(manifest) == " --bf16-weights"
    tuned = {**manifest, "options": {**manifest["options"], "tuning": {}}}
    assert engine_options(tuned) == " --tune --bf16-weights"


def test_tuning_times_the_rounded_weights(made, tmp_path, monkeypatch):
    _, model, plain, rounded = made
    timed = {}
    machine = {"arch": "x86_64", "cpu_model": None, "isa": None}
    record = {"machine": machine, "threads": 1, "batch": 1, "inputs": "samples", "kept": False, "layers": {}}
    record["network_ms"] = {"model": 1.0, "tuned": 1.0}
    monkeypatch.setattr(compiling, "tune", lambda graphs, *rest: (timed.update(graphs), ({}, record))[1])
    bundle = compile_model(model, tmp_path / "model.sanp", tune=True, bf16_weights=True).bundle
    assert bundle.manifest.rounded == rounded.manifest.rounded
    expected = weights(rounded, "gated")
    for tensor in timed["gated"].graph.initializer:
        if tensor.name in expected:
            np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected[tensor.name], err_msg=tensor.name)
    for name, values in weights(bundle, "gated").items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    assert plain.manifest.files["weights.bin"].size == bundle.manifest.files["weights.bin"].size


def test_without_samples_the_change_of_the_answers_is_not_claimed(made, tmp_path):
    path = made[0]
    export(path, tmp_path / "model.onnx", samples=0)
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp", bf16_weights=True).bundle
    assert bundle.manifest.build["bf16_weights"]["answers"] is None and bundle.manifest.rounded


def test_who_refuses(made, trained, tmp_path):
    export(trained, tmp_path / "model.onnx", samples=0)
    with pytest.raises(ConfigError, match="no gated layer has an output map of at most 16 pixels"):
        compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp", bf16_weights=True)
    with pytest.raises(ConfigError, match="leave out --bf16-weights"):
        compile_model(made[1], tmp_path / "model.sanp", target="jetson-agx-orin", bf16_weights=True)
    assert not (tmp_path / "model.sanp").exists()


def test_the_limit_is_that_of_the_kernels():
    """Rounding more than the kernels read would cost accuracy for nothing; rounding less would lose speed."""
    headers = (Path(__file__).parents[3] / "runtime" / "native" / "cpu").rglob("*.h")
    text = "".join(path.read_text(encoding="utf-8") for path in headers)
    assert re.findall(r"constexpr int64_t kBf16MaxPixels = (\d+);", text) == [str(SMALL_MAP)]
