"""A detector with three output maps through every step: its outputs are no logits, and nothing on the way needs any."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import sanp
from benchmarks.zoo.journey import random_gates, settle
from sanp.pipeline.inspect import inspect
from sanp.pipeline.report import report_bundle
from sanp.pipeline.validate import compare
from sanp.settings.validate import ValidateSettings
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.cli import main
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, InputError
from tests.support.detector import SmallDetector

SHAPES = {"small": (9, 8, 8), "medium": (9, 4, 4), "large": (9, 2, 2)}


def largest(outputs, labels):
    """A metric: the mean of the largest score, less the distance from the labels."""
    return float(outputs["small"].max((1, 2, 3)).mean() - np.abs(outputs["large"] - labels).mean())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(network, images, labels, folder) of a bundle."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("detector")
    example = torch.randn(2, 3, 64, 64)
    detector = SmallDetector()
    settle(detector, torch.randn(4, 3, 64, 64))
    network = sanp.gate(detector, example)
    random_gates(network)
    network.eval()
    images = np.random.default_rng(0).standard_normal((34, 3, 64, 64)).astype(np.float32)
    images += np.linspace(-2, 2, 34, dtype=np.float32)[:, None, None, None]
    with torch.no_grad():
        labels = network(torch.from_numpy(images))["large"].numpy() + np.float32(0.25)
    sanp.export(network, folder / "net.onnx", example_input=example, images=images, labels=labels)
    sanp.compile(folder / "net.onnx", folder / "net.sanp")
    return network, images, labels, folder


def test_what_is_gated(made):
    report = made[0].gating
    assert len(report.gated) == 41
    assert {row.name for row in report.skipped} == {f"heads.{name}.1" for name in SHAPES}


def test_the_engine_answers_by_name(made):
    network, images, _, folder = made
    with torch.no_grad():
        expected = network(torch.from_numpy(images[:5]))
    with load(folder / "net.sanp") as engine:
        result = engine(images[:5])
        assert {name: value.shape[1:] for name, value in result.outputs.items()} == SHAPES
        for name in SHAPES:
            np.testing.assert_allclose(result[name], expected[name].numpy(), rtol=1e-4, atol=1e-4)
        assert (result.macs < engine.manifest.dense_macs).all()
        with pytest.raises(InputError, match="no output 'boxes', expected one of small, medium, large"):
            result["boxes"]
        with pytest.raises(InputError, match="no output 'logits'"):
            result.classes()
        mine = np.empty((5, *SHAPES["large"]), np.float32)
        call = engine.bind(images[:5], outputs=("large", "gate.stem.0.conv"), out={"large": mine})
        assert call() is mine
        np.testing.assert_array_equal(mine, result["large"])
        whole = engine.bind(images[:5])
        np.testing.assert_array_equal(whole(), result["small"])
        assert list(whole.outputs) == list(SHAPES)


def test_validation_without_and_with_a_metric(made, monkeypatch):
    network, images, labels, folder = made
    result = self_test(folder / "net.sanp")
    assert result.passed and result.gates.agreement > 0.999
    assert result.to_json()["L2"]["kind"] == "agreement" and len(result.lines()) == 4
    bundle, metric = open_bundle(folder / "net.sanp"), f"{__name__}:largest"
    judged = compare(bundle, network, images[:6], labels[:6], ValidateSettings(metric=metric))
    assert judged.passed and judged.task.reference == pytest.approx(largest(
        {name: value[:6] for name, value in bundle.reference().outputs.items()}, labels[:6]
    ), rel=1e-4)  # fmt: skip
    assert self_test(bundle, metric=metric).passed
    with pytest.raises(ConfigError, match="no classes whose accuracy could drop"):
        compare(bundle, network, images[:2], None, ValidateSettings(max_drop=0.1))
    with torch.no_grad():
        wrong = network.get_parameter("heads.large.1.weight")
        before = wrong.clone()
        wrong.mul_(1.01)
        damaged = compare(bundle, network, images[:6], None, ValidateSettings())
        wrong.copy_(before)
    assert damaged.failed_levels() == ["L0 replay", "L2 task"] and damaged.replay.output == "large"


def test_run_prints_shapes_and_ranges(made, tmp_path, capsys):
    _, images, _, folder = made
    np.save(tmp_path / "x.npy", images[:2])
    words = ["run", str(folder / "net.sanp"), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npz")]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("0: small [9, 8, 8] from ") and "large [9, 2, 2] from" in lines[0]
    with np.load(tmp_path / "y.npz") as archive:
        assert archive["output/medium"].shape == (2, *SHAPES["medium"])
    assert main([*words[:4], "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert "classes" not in row and np.shape(row["outputs"]["small"]) == (2, *SHAPES["small"])
    assert main(["info", str(folder / "net.sanp")]) == 0
    assert "3x64x64 to small [N, 9, 8, 8], medium [N, 9, 4, 4], large [N, 9, 2, 2]," in capsys.readouterr().out


def test_inspect_shows_the_shapes(made):
    folder = made[3]
    for name in ("net.onnx", "net.sanp"):
        outputs = inspect(folder / name)["outputs"]
        assert outputs["medium"] == ["N", 9, 4, 4] and outputs["gate.stem.0.conv"][1:] == [8]


def test_profile_and_report(made, tmp_path):
    folder = made[3]
    result = profile(folder / "net.sanp", duration_s=0.3).to_json()
    assert result["ratios"]["theoretical"] > 1.2
    (tmp_path / "profile.json").write_text(dumps(result))
    (tmp_path / "validation.json").write_text(dumps(self_test(folder / "net.sanp").to_json()))
    page = report_bundle(folder / "net.sanp", tmp_path / "report", profile=tmp_path / "profile.json",
                         validation=tmp_path / "validation.json").read_text()  # fmt: skip
    assert "small [N, 9, 8, 8]" in page and "3 outputs of 34 samples agree" in page


def test_a_fold_is_judged_by_the_outputs_or_a_metric(made, tmp_path):
    folder = made[3]
    done = sanp.compile(folder / "net.onnx", tmp_path / "folded.sanp", fold=True, max_drop=0.2)
    check = done.record["fold"]["check"]
    assert check["measure"] == "change" and 0 <= check["after"] <= 0.2 and check["samples"] == 17
    assert self_test(done.bundle).passed
    metric = f"{__name__}:largest"
    done = sanp.compile(folder / "net.onnx", tmp_path / "judged.sanp", fold=True, max_drop=1.0, metric=metric)
    check = done.record["fold"]["check"]
    assert check["measure"] == metric and check["before"] != 0


def test_rounded_weights_are_judged_by_the_outputs(made, tmp_path):
    done = sanp.compile(made[3] / "net.onnx", tmp_path / "rounded.sanp", bf16_weights=True)
    answers = done.record["bf16_weights"]["answers"]
    assert set(answers["outputs"]) == set(SHAPES) and answers["changed_predictions"] is None
    assert all(0 < row["largest_difference"] < 0.1 * row["largest"] for row in answers["outputs"].values())
    assert self_test(done.bundle).passed


def test_tensorrt_computes_the_same_outputs(made, tmp_path, monkeypatch):
    """The copy for TensorRT, built and run by the stand-in that computes real numbers."""
    from sanp_runtime.engines.tensorrt.builder import build
    from tests.fakes import cuda as fake_cuda
    from tests.fakes import tensorrt as fake_tensorrt

    done = sanp.compile(
        made[3] / "net.onnx", tmp_path / "trt.sanp", target="x86-cuda", plugin_layers="all", max_batch=16
    )
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    fake_tensorrt.install(monkeypatch, "10.3.0", "NVIDIA H100", 90)
    built = build(done.bundle.path, plugin=fake_cuda.compile_stub_plugin(tmp_path))
    assert self_test(built).passed
    with load(built.path) as engine:
        call = engine.bind(made[1][:3], outputs=("large", "small"))
        assert call().shape == (3, *SHAPES["large"])
        np.testing.assert_allclose(call.outputs["small"], engine(made[1][:3])["small"], rtol=1e-5, atol=1e-6)
