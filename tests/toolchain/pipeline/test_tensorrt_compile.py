"""`sanp compile` for TensorRT: what is in the bundle, which kernel each layer gets, the way to validated engines."""

import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from sanp.cli.app import app
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.device_files import device_archive, plugin_sources
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.validate import validate
from sanp.report import write_report
from sanp.settings.profile import ProfileSettings
from sanp.settings.validate import ValidateSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.contract import variants_of
from sanp_runtime.engines.tensorrt.builder import build
from sanp_targets.errors import ConfigError, InputError, TargetError
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt

NATIVE = Path(__file__).parents[3] / "runtime" / "native"


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export(trained, path, samples=12)
    return path


@pytest.fixture(scope="module")
def portable(model, tmp_path_factory):
    """A bundle for a board, compiled where there is no TensorRT."""
    path = tmp_path_factory.mktemp("portable") / "model.sanp"
    return compile_model(
        model, path, target="jetson-agx-orin", precision="fp16", plugin_layers="all", max_batch=16
    ).bundle


def test_what_a_portable_bundle_holds(portable):
    manifest = portable.manifest
    assert {"device.pyz", "BUILD.txt", "plugin-src.tar.gz", "reference.npz", "weights.bin"} <= set(manifest.files)
    assert not any(name.endswith((".so", ".engine")) for name in manifest.files)
    assert manifest.precision == "fp16" and not manifest.native
    assert manifest.build["batch"] == {"min": 1, "opt": 1, "max": 16} and "engines" not in manifest.build
    assert set(manifest.options["choices"]) == set(manifest.gated)
    assert {row["reason"] for row in manifest.options["choices"].values()} == {"asked for"}
    size = sum((portable.path / name).stat().st_size for name in ("device.pyz", "BUILD.txt", "plugin-src.tar.gz"))
    assert size < 400_000, "what finishes the work on the device is small"


def test_the_plugin_sources_are_complete_and_repeatable():
    content = plugin_sources()
    assert content == plugin_sources() and device_archive() == device_archive()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = set(archive.getnames())
    ours = {"CMakeLists.txt", ".cc", ".cu", ".h", ".inc", ".cmake", ".map"}
    expected = {
        path.relative_to(NATIVE).as_posix()
        for folder in ("contract", "cuda", "trt")
        for path in (NATIVE / folder).rglob("*")
        if path.is_file() and (path.name in ours or path.suffix in ours)
    }
    assert names == expected and {"trt/CMakeLists.txt", "cuda/CMakeLists.txt", "cuda/sanp_cuda.h"} <= names


def test_the_archive_is_all_that_the_device_needs(portable, tmp_path):
    """In an empty environment: the archive runs, and says what is missing on this machine."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def call(*arguments):
        line = [sys.executable, str(portable.path / "device.pyz"), *arguments]
        return subprocess.run(line, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = call("info", str(portable.path))
    assert done.returncode == 0 and "for jetson-agx-orin" in done.stdout, done.stderr
    done = call("build", str(portable.path))
    assert done.returncode == 3 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    done = call("self-test", str(portable.path))
    assert done.returncode == 3 and f"device.pyz build {portable.path}" in done.stderr
    assert "usage: python3 device.pyz" in call("--help").stdout


def test_the_recipe_is_complete_for_every_release(portable, tmp_path):
    text = (portable.path / "BUILD.txt").read_text()
    assert "python3 BUNDLE/device.pyz build BUNDLE" in text and "cmake -S plugin/trt" in text
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("    trtexec")]
    assert len(lines) == 4 * 4, "four graphs for each JetPack of the board"
    assert "--plugins=./libsanp_trt.so" in lines[0] and "--staticPlugins=./libsanp_trt.so" in lines[4]
    assert "--fp16" in lines[0] and "--stronglyTyped" in lines[8]
    inputs = {f"mask.{name}" for name in portable.manifest.gated} | {"input"}
    for line in lines:
        shapes = next(item for item in line if item.startswith("--maxShapes=")).partition("=")[2]
        found = {item.split(":")[0] for item in shapes.split(",")}
        assert found == ({"input"} if "dense" in line[1] else inputs)


def test_compile_builds_where_tensorrt_is(model, trained, portable, tmp_path, monkeypatch):
    """The whole way on one machine: compile, proof, validation against PyTorch, profile."""
    fake_tensorrt.install(monkeypatch, "10.16.2", "NVIDIA RTX", 89)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    stub = fake_cuda.compile_stub_plugin(tmp_path)
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.builder.compile_plugin", lambda sources, folder, arch: stub)
    half = ",".join(portable.manifest.gated[::2])
    bundle = compile_model(model, tmp_path / "model.sanp", target="x86-cuda", plugin_layers=half).bundle
    assert bundle.manifest.build["fingerprint"]["tensorrt"] == "10.16.2"
    assert bundle.manifest.native == set(portable.manifest.gated[1::2])
    result = validate(bundle.path, trained, ValidateSettings(limit=48))
    assert result.passed, [report.summary() for report in result.levels().values()]
    assert 0 < len(result.proof.accelerated) == len(result.proof.gated_nodes)
    report = profile_bundle(bundle.path, ProfileSettings(duration=0.02), tmp_path / "profile.json")
    assert report["bundle"]["target"]["name"] == "x86-cuda"
    results = {"profile": report, "validation": result.to_json(), "bundle": bundle.manifest.to_json()}
    page = write_report(results, tmp_path / "report").read_text(encoding="utf-8")
    assert "TensorRT 10.16.2&#39;s engine inspector" in page or "TensorRT 10.16.2's engine inspector" in page
    assert "--target x86-cuda --precision fp32 --plugin-layers" in page
    again = compile_model(
        model, tmp_path / "again.sanp", target="x86-cuda", layer_times=tmp_path / "profile.json", max_batch=8
    ).bundle
    reasons = [row["reason"] for row in again.manifest.options["choices"].values()]
    assert all(reason.startswith("measured ") for reason in reasons)
    found = inspect(again.path)
    assert found["choices"] == again.manifest.options["choices"] and found["about"]["engines"]["sm"] == "89"
    with pytest.raises(InputError, match=r"for x86-cuda, expected a profile for jetson-thor"):
        compile_model(model, tmp_path / "t.sanp", target="jetson-thor", layer_times=tmp_path / "profile.json")


def test_fp16_against_pytorch(model, trained, tmp_path, monkeypatch):
    """Rounding moves some gates; every flip must be explained by its margin."""
    fake_tensorrt.install(monkeypatch, "8.6.2", "Orin", 87)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    made = compile_model(
        model, tmp_path / "m.sanp", target="jetson-orin-nano", precision="fp16", plugin_layers="none"
    ).bundle
    assert "engines" in made.manifest.build, "no plugin, no compiler needed"
    result = validate(made.path, trained, ValidateSettings(limit=48))
    assert result.replay.passed and result.gates.passed, [r.summary() for r in result.levels().values()]
    assert result.replay.max_error > 1e-4, "half precision leaves a trace"


@pytest.fixture(scope="module")
def more_samples(trained, tmp_path_factory):
    """A model with enough answers to calibrate on."""
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    export(trained, path, samples=48)
    return path


def test_int8_marks_the_layers_that_tensorrt_computes(more_samples, trained, tmp_path, monkeypatch):
    """Pairs around half of the layers, float32 in our plugin; built, validated and profiled beside float32."""
    fake_tensorrt.install(monkeypatch, "10.16.2", "NVIDIA RTX", 89)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    stub = fake_cuda.compile_stub_plugin(tmp_path)
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.builder.compile_plugin", lambda sources, folder, arch: stub)
    gated = [row["name"] for row in inspect(more_samples)["layers"] if row["gated"]]
    bundle = compile_model(
        more_samples,
        tmp_path / "m.sanp",
        target="x86-cuda",
        plugin_layers=",".join(gated[::2]),
        int8=True,
        max_drop=1.0,
    ).bundle
    manifest = bundle.manifest
    assert manifest.precision == "int8" and set(manifest.variants) == set(variants_of(True, False, int8=True))
    assert set(manifest.int8["layers"]) == set(gated[1::2])
    assert {name for name, why in manifest.int8["float32"].items() if "plugin" in why} == set(gated[::2])
    assert all(row["x"]["zero_point"] == 0 and "y" not in row for row in manifest.int8["layers"].values())
    for variant in manifest.variants:
        pairs = [node.op_type for node in onnx.load(bundle.variant(variant), load_external_data=False).graph.node]
        counts = pairs.count("QuantizeLinear"), pairs.count("DequantizeLinear")
        assert counts[0] == counts[1] and (counts[0] == 0) == variant.startswith("float_")
        assert counts[0] in (0, 2 * len(manifest.int8["layers"]))
    result = validate(bundle.path, trained, ValidateSettings(limit=48, max_drop=0.1))
    assert not result.failed_levels() and result.proof.passed, result.summary()
    assert "bytes of" not in result.replay.summary() and result.replay.max_error > 1e-3
    report = profile_bundle(bundle.path, ProfileSettings(duration=0.02), tmp_path / "profile.json")
    assert set(report["variants"]) == {"float_dense", "float_gated", "dense", "open", "gated"}
    assert f"{gated[1]}: bytes" in " ".join(CliRunner().invoke(app, ["inspect", str(bundle.path)]).output.split())


def test_int8_is_allowed_where_typing_is_weak(more_samples, tmp_path, monkeypatch):
    made = compile_model(
        more_samples, tmp_path / "m.sanp", target="jetson-agx-orin", plugin_layers="none", int8=True, max_drop=1.0
    ).bundle
    text = (made.path / "BUILD.txt").read_text()
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("    trtexec")]
    assert len(lines) == 4 * 6
    for line in lines:
        weak = "--stronglyTyped" not in line and "11" not in line[0]
        floats = "float_" in line[1]
        assert ("--int8" in line) == (weak and not floats), line
    fake_tensorrt.install(monkeypatch, "8.6.2", "Orin", 87)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    built = tmp_path / "built.sanp"
    compile_model(more_samples, built, target="jetson-orin-nano", plugin_layers="none", int8=True, max_drop=1.0)
    assert "engines" in open_bundle(built).manifest.build, "TensorRT 8 was told"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"plugin_layers": "all"}, "in our plugin"), ({"precision": "fp16"}, "fp16"), ({}, "")],
)
def test_int8_that_cannot_be(more_samples, model, tmp_path, options, message):
    source = more_samples if options else model  # too few samples
    with pytest.raises(ConfigError, match=message or "samples"):
        compile_model(source, tmp_path / "m.sanp", target="jetson-agx-orin", int8=True, **options)


def test_the_command_says_what_to_run_on_the_device(model, tmp_path):
    path = tmp_path / "model.sanp"
    run = CliRunner().invoke(app, ["compile", str(model), "-o", str(path), "--target", "jetson-agx-xavier"])
    assert run.exit_code == 0, run.output
    assert f"python3 {path}/device.pyz build {path}" in run.output.replace("\n", "")
    assert "modelled break-even" in run.output
    line = ["compile", str(model), "-o", str(path), "--target", "jetson-agx-xavier", "--replace", "--json"]
    row = json.loads(CliRunner().invoke(app, line).stdout)
    assert row["proof"] is None and row["next"].startswith("python3 ") and row["record"]["choices"]
    shown = CliRunner().invoke(app, ["inspect", str(path)]).output
    assert "not built yet" in shown and "kernel  " in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": "x86-cpu", "precision": "fp16"},
            "runs in ONNX Runtime, expected no setting for TensorRT; leave out --precision",
        ),
        ({"target": "x86-cuda", "plugin_layers": "a,b"}, "expected auto, all, none or some of"),
        ({"target": "x86-cuda", "plugin_layers": ","}, "expected auto, all, none or some of"),
        ({"target": "x86-cuda", "opt_batch": 9, "max_batch": 8}, "1 <= opt <= max"),
        ({"target": "x86-cuda", "precision": "int8"}, "expected to be 'fp32' or 'fp16'"),
    ],
)
def test_settings_that_contradict_each_other(model, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        compile_model(model, tmp_path / "model.sanp", **options)
    assert not (tmp_path / "model.sanp").exists()


def test_a_file_that_is_no_profile(model, tmp_path):
    for text in ("", "[]", '{"kind": "profile"}'):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(InputError, match="is not a profile"):
            compile_model(model, tmp_path / "m.sanp", target="x86-cuda", layer_times=tmp_path / "p.json")


def test_a_plugin_that_does_not_compile_leaves_the_portable_bundle(model, tmp_path, monkeypatch):
    fake_tensorrt.install(monkeypatch, "10.3.0", "NVIDIA RTX", 89)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="cmake was not found"):
        compile_model(model, tmp_path / "model.sanp", target="x86-cuda", plugin_layers="all")
    bundle = open_bundle(tmp_path / "model.sanp")
    assert "engines" not in bundle.manifest.build
    with pytest.raises(TargetError, match="cmake was not found"):
        build(bundle.path)
    assert np.isfinite(bundle.reference().logits).all()
