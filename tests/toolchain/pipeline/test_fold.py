"""`sanp compile --fold`: bundles, their checks, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from sanp import checkpoint
from sanp.gating import gated_layers
from sanp.pipeline.compile import fold as folding
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.folded_network import fold_network
from sanp.pipeline.inspect import inspect
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.report import report_bundle
from sanp.pipeline.validate import validate
from sanp_export.graph import model_file
from sanp_runtime import load
from sanp_runtime.bundle.manifest import CHECKSUM, checksum
from sanp_runtime.bundle.manifest_reading import from_json
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, InputError, ValidationError
from tests.support.checkpoints import make_checkpoint

CASES = [("m-cifarnet", "static"), ("resnet-18", "static"), ("m-cifarnet", "sanp"), ("resnet-18", "fbs")]


def bias_gates(path, by):
    """Move the saliencies of a saved network, so that more channels are closed for good."""
    loaded = checkpoint.load(path)
    for layer in gated_layers(loaded.model).values():
        last = [p for p in layer.gate.parameters() if p.dim() == 1][-1]
        last.data += by * torch.linspace(-1, 1, len(last))
    checkpoint.save(path, loaded.model, loaded.config)
    return path


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def built(request, tmp_path_factory):
    """(checkpoint, model, folded bundle)."""
    name, method = request.param
    folder = tmp_path_factory.mktemp("fold")
    path = bias_gates(make_checkpoint(folder / "c.safetensors", name, method), 0.5)
    export(path, folder / "model.onnx", samples=48)
    made = compile_model(folder / "model.onnx", folder / "model.sanp", fold=True, max_drop=0.5)
    return path, folder / "model.onnx", made


def test_a_folded_bundle_passes_every_level(built):
    path, model, made = built
    manifest = made.bundle.manifest
    assert manifest.fold == made.record["fold"]["layers"]
    assert validate(made.bundle.path, path, limit=96).passed
    assert self_test(made.bundle).passed
    assert manifest.full_macs == sum(
        row.c_out * row.c_in // row.groups * np.prod(row.kernel) * np.prod(row.out_hw)
        for row in model_file.layers_of(model_file.read(model))
    ), "costs refer to the network before"
    assert manifest.dense_macs < manifest.full_macs
    assert (made.proof is None) == (not manifest.gated)


def test_it_answers_as_the_network_whose_gates_do_the_same(built):
    path, _, made = built
    x = np.random.default_rng(1).standard_normal((8, 3, 32, 32)).astype(np.float32)
    loaded = checkpoint.load(path).model
    with torch.no_grad():
        expected = fold_network(loaded, made.bundle.manifest.fold, "bundle")(torch.from_numpy(x)).numpy()
        before = loaded(torch.from_numpy(x)).numpy()
    with load(made.bundle.path) as engine:
        found = engine(x).logits
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    if loaded.gating.method == "static":
        np.testing.assert_allclose(found, before, rtol=0, atol=2e-5 * np.abs(before).max())


def test_every_reader_shows_the_fold(built, tmp_path):
    _, _, made = built
    found = inspect(made.bundle.path)
    assert set(found["fold"]["layers"]) == set(made.record["fold"]["layers"])
    lines = folding.summary(made.record["fold"])
    assert len(lines) == len(made.record["fold"]["layers"]) + 1
    profile = profile_bundle(made.bundle.path, duration=0.2, allow_invalid=True)
    assert profile["macs"]["parent"] == made.bundle.manifest.full_macs
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    page = report_bundle(made.bundle.path, tmp_path / "page", profile=tmp_path / "profile.json").read_text()
    assert "What was folded" in page and "MACs refer to the network before" in page


def test_static_becomes_a_plain_network(tmp_path):
    path = make_checkpoint(tmp_path / "c.safetensors", method="static")
    export(path, tmp_path / "m.onnx", samples=8)
    for samples in (8, 0):
        export(path, tmp_path / "m.onnx", samples=samples, replace=True)
        made = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", fold=True, replace=True)
        assert not made.bundle.manifest.gated and set(made.bundle.manifest.variants) == {"dense", "parent"}
        assert made.record["fold"]["check"] is None
    wide = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", fold=True, multiple=8, replace=True)
    rows = wide.record["fold"]["layers"]
    assert all(len(row["kept"]) % 8 == 0 or len(row["kept"]) == row["before"] for row in rows.values())
    assert any("for the multiple" in row["reason"] for row in rows.values())


@pytest.mark.parametrize("target", ["jetson-orin-nano"])
def test_the_copies_for_tensorrt_are_of_the_folded_network(built, target, tmp_path):
    _, model, made = built
    other = compile_model(model, tmp_path / "m.sanp", target=target, fold=True, max_drop=0.5).bundle.manifest
    assert other.layers == made.bundle.manifest.layers and other.fold == made.bundle.manifest.fold


def test_a_fold_that_costs_accuracy_is_refused(tmp_path):
    path = bias_gates(make_checkpoint(tmp_path / "c.safetensors"), 0.5)
    export(path, tmp_path / "m.onnx", samples=64)
    model = model_file.read(tmp_path / "m.onnx")
    made = compile_model(tmp_path / "m.onnx", tmp_path / "a.sanp", fold=True, max_drop=1.0)
    answers = made.bundle.reference()
    whole = compile_model(tmp_path / "m.onnx", tmp_path / "b.sanp").bundle.reference()
    # Gates as the even samples have them; the odd ones, which are held back, need what these never open.
    scales = {name: value.copy() for name, value in whole.scales.items()}
    for value in scales.values():
        value[::2, 1:] = 0
    right = whole.logits.argmax(1)
    lying = dataclasses.replace(whole, labels=right, scales=scales)
    with pytest.raises(ValidationError, match=r"held back, accuracy is 1\.0000 before and 0\.\d+ after"):
        folding.fold_model(model, lying, None, 1, 0.01)
    assert len(answers) == 64


def test_few_samples_are_not_divided(tmp_path):
    path = make_checkpoint(tmp_path / "c.safetensors")
    export(path, tmp_path / "m.onnx", samples=16)
    made = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", fold=True)
    check = made.record["fold"]["check"]
    assert check["samples"] == 16 and not check["held_back"] and "too few" in folding.summary(made.record["fold"])[-1]


def test_errors_say_what_to_do(tmp_path):
    path = make_checkpoint(tmp_path / "c.safetensors")
    export(path, tmp_path / "m.onnx", samples=0)
    with pytest.raises(ConfigError, match="no samples came with the model"):
        compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", fold=True)
    with pytest.raises(ConfigError, match=r"--multiple and --max-drop without --fold"):
        compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", multiple=8, max_drop=0.1)
    export(path, tmp_path / "m.onnx", samples=16, replace=True)
    made = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", fold=True, max_drop=1.0)
    other = make_checkpoint(tmp_path / "other.safetensors", width=0.2)
    with pytest.raises(InputError, match="was folded from 8, or widths differ"):
        validate(made.bundle.path, other, limit=8)
    with pytest.raises(ConfigError, match="nothing to fold"):
        folding.fold_model(folding.as_parent(model_file.read(tmp_path / "m.onnx")), None, None, 1, 0.0)


@pytest.mark.parametrize(
    "change", [{"kept": [3, 1]}, {"kept": [99]}, {"gate": "gone"}, {"scale": ["1"]}, {"before": "8"}]
)
def test_a_manifest_with_a_wrong_fold_is_refused(change, tmp_path):
    path = make_checkpoint(tmp_path / "c.safetensors", method="static")
    export(path, tmp_path / "m.onnx", samples=4)
    bundle = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp", fold=True).bundle
    row = json.loads(json.dumps(open_bundle(bundle.path).manifest.to_json()))
    layer = next(iter(row["build"]["fold"]["layers"].values()))
    layer.update(change)
    row[CHECKSUM] = checksum(row)
    with pytest.raises(InputError, match="fold"):
        from_json(row)
