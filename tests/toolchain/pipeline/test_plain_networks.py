"""A network without gates, from checkpoint to report, beside the network that it was made from."""

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch

from sanp import checkpoint
from sanp.cost.tracker import CostTracker
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.parent import parent_path
from sanp.pipeline.profile import headline, profile_bundle
from sanp.pipeline.report import report_bundle
from sanp.pipeline.validate import validate
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, ExportError, InputError
from tests.support.checkpoints import make_checkpoint
from tests.support.plain_checkpoints import make_plain


@pytest.fixture(scope="module", params=["m-cifarnet", "resnet-18"])
def built(request, tmp_path_factory):
    """(checkpoint, model, bundle)."""
    folder = tmp_path_factory.mktemp("plain")
    path = make_plain(folder / "checkpoint.safetensors", request.param)
    export(path, folder / "model.onnx", samples=16)
    return path, folder / "model.onnx", compile_model(folder / "model.onnx", folder / "model.sanp").bundle


def test_the_file_runs_anywhere_and_answers_as_pytorch(built):
    path, model, bundle = built
    reference, loaded = bundle.reference(), checkpoint.load(path)
    with torch.no_grad():
        expected = loaded.model(torch.from_numpy(reference.x)).numpy()
    found = ort.InferenceSession(str(model)).run(["logits"], {"input": reference.x})[0]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max(), rtol=2e-5)


def test_the_bundle_holds_the_network_and_its_parent(built):
    path, _, bundle = built
    manifest = bundle.manifest
    assert set(manifest.variants) == {"dense", "parent"} and not manifest.gated and manifest.main == "dense"
    assert manifest.parent["weights"] == "trained" and manifest.measured == ("parent", "dense")
    for name, macs in (("checkpoint", manifest.dense_macs), ("dense", manifest.full_macs)):
        loaded = checkpoint.load(path.with_name(f"{name}.safetensors"))
        assert CostTracker(loaded.model, loaded.example_input).dense == macs
        with load(bundle.path, variant="dense" if name == "checkpoint" else "parent") as engine:
            x = bundle.reference().x
            result = engine(x)
            with torch.no_grad():
                expected = loaded.model(torch.from_numpy(x)).numpy()
            np.testing.assert_allclose(result.logits, expected, atol=2e-5 * np.abs(expected).max(), rtol=2e-5)
            assert (result.macs == macs).all() and not result.gates
    assert inspect(bundle.path)["about"]["parent_macs"] == manifest.full_macs > manifest.dense_macs


def test_validation_has_no_level_for_gates(built):
    path, _, bundle = built
    result = validate(bundle.path, path, limit=64)
    assert result.passed and result.gates is None and result.proof is None
    assert list(result.levels()) == ["L0 replay", "L2 task"]
    assert json.loads(json.dumps(result.to_json()))["L1"] is None
    assert self_test(bundle).passed


def test_other_weights_fail_and_other_widths_are_refused(built, tmp_path):
    path, _, bundle = built
    loaded = checkpoint.load(path)
    head = [module for module in loaded.model.modules() if hasattr(module, "weight")][-1]
    with torch.no_grad():
        head.weight[0] *= 1.01
    checkpoint.save(tmp_path / "other.safetensors", loaded.model, loaded.config)
    assert validate(bundle.path, tmp_path / "other.safetensors", limit=16).failed_levels() == ["L0 replay"]
    with pytest.raises(InputError, match="has another width than in"):
        validate(bundle.path, path.with_name("dense.safetensors"), limit=16)


def test_it_is_measured_and_reported_beside_its_parent(built, tmp_path):
    path, _, bundle = built
    validation = tmp_path / "validation.json"
    validation.write_text(json.dumps(validate(bundle.path, path, limit=16).to_json()))
    result = profile_bundle(bundle.path, output=tmp_path / "profile.json", duration=0.1)
    manifest, ratios = bundle.manifest, result["ratios"]
    assert list(result["variants"]) == ["parent", "dense"] and result["proof"] is None and result["library"] is None
    assert ratios["theoretical"] == pytest.approx(manifest.full_macs / manifest.dense_macs)
    times = [result["variants"][name]["typical_ms"] for name in ("parent", "dense")]
    assert ratios["measured"] == pytest.approx(times[0] / times[1]) and ratios["overhead"] is None
    rows = {row["name"]: row for row in result["layers"]}
    assert sum(row["macs_parent"] for row in rows.values()) == manifest.full_macs
    assert "the network that it was made from" in headline(result)
    page = report_bundle(
        bundle.path, tmp_path / "report", profile=tmp_path / "profile.json", validation=validation
    ).read_text()
    assert "before channels were removed" in page and "L0 outputs" in page
    for word in ("L1 gates", "all gates open", "gated, as trained", "Proof of acceleration"):
        assert word not in page, word


def test_where_the_parent_comes_from(tmp_path):
    path = make_plain(tmp_path / "checkpoint.safetensors")
    dense = path.with_name("dense.safetensors")
    assert export(dense, tmp_path / "whole.onnx", samples=1).parent is None, "a whole network is its own parent"
    named = export(dense, tmp_path / "named.onnx", samples=1, parent=dense)
    assert compile_model(named.path, tmp_path / "named.sanp").bundle.manifest.parent["weights"] == "trained"
    moved = dense.rename(tmp_path / "elsewhere.safetensors")
    random = export(path, tmp_path / "random.onnx", samples=1)
    bundle = compile_model(random.path, tmp_path / "random.sanp").bundle
    assert bundle.manifest.parent["weights"] == "untrained"
    whole = checkpoint.load(moved)
    assert bundle.manifest.full_macs == CostTracker(whole.model, whole.example_input).dense
    gated = make_checkpoint(tmp_path / "gated.safetensors", width=0.1)
    with pytest.raises(ConfigError, match="has gates, expected the network before"):
        export(path, tmp_path / "bad.onnx", samples=1, parent=gated)
    with pytest.raises(ExportError, match="no gated layer"):
        export(path, tmp_path / "bad.onnx", samples=1, gates="mask")


def test_a_network_without_a_parent_is_measured_alone(tmp_path):
    path = make_plain(tmp_path / "checkpoint.safetensors")
    export(path.with_name("dense.safetensors"), tmp_path / "whole.onnx", samples=2)
    bundle = compile_model(tmp_path / "whole.onnx", tmp_path / "whole.sanp").bundle
    result = profile_bundle(bundle.path, output=tmp_path / "profile.json", duration=0.05)
    assert result["ratios"] is None and list(result["variants"]) == ["dense"]
    assert "nothing to compare it with" in headline(result)
    assert (
        "nothing to compare it with"
        in report_bundle(bundle.path, tmp_path / "report", profile=tmp_path / "profile.json").read_text()
    )


def test_a_parent_that_is_missing_or_another_is_refused(built, tmp_path):
    _, model, _ = built
    copy = tmp_path / "model.onnx"
    copy.write_bytes(model.read_bytes())
    with pytest.raises(InputError, match=r"expected the network that model\.onnx was made from"):
        compile_model(copy, tmp_path / "net.sanp")
    parent_path(copy).write_bytes(model.read_bytes())
    with pytest.raises(InputError, match=r"does not belong to model\.onnx or was damaged"):
        compile_model(copy, tmp_path / "net.sanp")


def test_kernels_that_only_gates_have_are_refused(built, tmp_path):
    _, model, bundle = built
    for flag in ("tune", "bf16_weights"):
        with pytest.raises(ConfigError, match="--" + flag.replace("_", "-")):
            compile_model(model, tmp_path / "net.sanp", **{flag: True})
    with pytest.raises(InputError, match="leave them out, this network has no gates"), load(bundle.path) as engine:
        engine(bundle.reference().x, {"conv0": np.ones((1, 4), np.float32)})
    with pytest.raises(InputError, match="there is no variant 'gated'"):
        load(bundle.path, variant="gated")


def test_the_tensorrt_copies_need_no_plugin(built, tmp_path):
    _, model, bundle = built
    made = compile_model(model, tmp_path / "board.sanp", target="jetson-orin-nano", precision="fp16")
    files = set(made.bundle.manifest.files)
    assert {"dense.onnx", "parent.onnx", "device.pyz", "BUILD.txt"} <= files and "plugin-src.tar.gz" not in files
    text = (made.bundle.path / "BUILD.txt").read_text()
    assert "parent.engine" in text and "cmake" not in text and not made.bundle.manifest.engines_built
    assert open_bundle(made.bundle.path).manifest.full_macs == bundle.manifest.full_macs
