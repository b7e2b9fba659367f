"""`--sizes`: one bundle for a list of image sizes, in ONNX Runtime, and in TensorRT with a profile for each."""

from __future__ import annotations

import dataclasses
import json
import shlex

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import sanp
from sanp.cli.app import app
from sanp.pipeline.inspect import inspect
from sanp.settings.export import ExportSettings
from sanp_export.graph import model_file
from sanp_runtime import load
from sanp_runtime.bundle.manifest_reading import loads
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.cli import main
from sanp_runtime.engines.tensorrt import trtexec as trtexec_lines
from sanp_runtime.engines.tensorrt.builder import build
from sanp_runtime.engines.tensorrt.layers import our_layers, read_layers
from sanp_runtime.network.macs import sample_macs
from sanp_runtime.profile.profile import profile
from sanp_runtime.profile.resize import resized
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, ExportError, InputError, TargetError
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt
from tests.fakes import trtexec as fake_trtexec
from tests.toolchain.pipeline.test_any_size import bundle_of_fields

SIZES = ((32, 32), (48, 24), (20, 36))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return bundle_of_fields(tmp_path_factory.mktemp("sizes"), sizes=SIZES)


def _compare(network, engine, n=3):
    """Outputs of every size are PyTorch's, and MACs those of a network that was exported for that size alone."""
    for size in SIZES:
        x = torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(sum(size)))
        with torch.no_grad():
            expected = network(x)
        result, call = engine(x.numpy()), engine.bind(x.numpy()[:2])
        call()
        for name, value in expected.items():
            assert result[name].shape == value.shape
            np.testing.assert_allclose(result[name], value.numpy(), rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(call.outputs[name], value[:2].numpy(), rtol=1e-4, atol=1e-4)
        yield size, result


@pytest.mark.parametrize("library", ["bundle", None])
def test_every_size_gives_pytorchs_answers_and_its_own_macs(made, library, tmp_path):
    network, _, folder = made
    with load(folder / "net.sanp", library=library) as engine:
        costs = dict(_compare(network, engine))
        with pytest.raises(
            InputError, match=r"images of 40x40, expected .*\[N, 3, H, W\] with HxW one of 32x32, 48x24"
        ):
            engine(np.zeros((1, 3, 40, 40), np.float32))
    if library is None:
        return
    for size, result in list(costs.items())[2:]:
        alone = sanp.export(network, tmp_path / "alone.onnx", example_input=torch.zeros(1, 3, *size), replace=True)
        np.testing.assert_array_equal(result.macs, sample_macs(alone.layers, result.gates))
        assert engine.manifest.at(size).layers == alone.layers
        assert engine.manifest.at(size).dense_macs == alone.dense_macs


def test_samples_of_every_size_are_validated(made):
    found = self_test(made[2] / "net.sanp")
    assert found.passed and {"size 48x24", "size 20x36"} <= set(found.levels())
    assert any(line.startswith("size 48x24: PASS  3 outputs of 4 samples agree") for line in found.lines())
    assert [row["size"] for row in found.to_json()["sizes"]] == ["20x36", "48x24"]


def test_a_wrong_answer_in_one_size_fails_there_alone(made, tmp_path):
    bundle = open_bundle(made[2] / "net.sanp")
    reference = bundle.reference()
    other = reference.sizes[48, 24]
    wrong = dataclasses.replace(other, outputs={name: 1.01 * value for name, value in other.outputs.items()})
    beside = dataclasses.replace(reference, sizes={**reference.sizes, (48, 24): wrong})
    (tmp_path / "reference.npz").write_bytes(beside.dumps())
    found = self_test(bundle, reference=tmp_path / "reference.npz")
    assert found.failed_levels() == ["size 48x24"]


def test_profile_inspect_and_run_take_a_size(made, tmp_path, capsys):
    folder = made[2]
    report = profile(folder / "net.sanp", duration_s=0.1, size=(48, 24)).to_json()
    manifest = open_bundle(folder / "net.sanp").manifest
    assert report["macs"]["dense"] == manifest.at((48, 24)).dense_macs != manifest.dense_macs
    assert report["settings"]["size"] == [48, 24] and all(row["dense_ms"] > 0 for row in report["layers"])
    assert {tuple(row["out_hw"]) for row in report["layers"]} >= {(24, 12), (48, 24)}
    with pytest.raises(InputError, match="takes images of 32x32, 48x24, 20x36, not of 40x40"):
        profile(folder / "net.sanp", duration_s=0.1, size=(40, 40))
    with pytest.raises(InputError, match="the input has shape"):
        profile(folder / "net.sanp", samples=np.zeros((2, 32, 32), np.float32), size=(48, 24))
    found = inspect(folder / "net.sanp")
    assert list(found["about"]["sizes"]) == ["32x32", "48x24", "20x36"] and found["inputs"]["input"][2:] == ["H", "W"]
    assert inspect(folder / "net.onnx")["about"]["sizes"] == ["32x32", "48x24", "20x36"]
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 20, 36), np.float32))
    line = ["run", str(folder / "net.sanp"), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npz")]
    assert main(line) == 0 and "of the dense MACs" in capsys.readouterr().out
    assert main(["info", str(folder / "net.sanp")]) == 0 and "48x24 (" in capsys.readouterr().out


def test_a_folded_one_keeps_its_sizes(made, tmp_path):
    done = sanp.compile(made[2] / "net.onnx", tmp_path / "folded.sanp", fold=True, max_drop=1.0)
    assert len(done.bundle.manifest.sizes) == 3 and self_test(done.bundle).passed


def test_a_pruned_network_and_its_parent_take_the_same_sizes(tmp_path):
    torch.manual_seed(0)
    network, parent = (nn.Sequential(nn.Conv2d(3, n, 3), nn.ReLU(), nn.Conv2d(n, 5, 3)).eval() for n in (4, 9))
    x = torch.randn(2, 3, 16, 16)
    sizes = [(16, 16), (12, 20)]
    sanp.export(network, tmp_path / "n.onnx", example_input=x, images=x.numpy(), parent_model=parent, sizes=sizes)
    done = sanp.compile(tmp_path / "n.onnx", tmp_path / "n.sanp").bundle
    other = torch.randn(1, 3, 12, 20)
    with load(done.path, variant="parent") as engine:
        np.testing.assert_allclose(engine(other.numpy())["output"], parent(other).detach(), atol=1e-5)
        assert engine(other.numpy()).macs.tolist() == [10 * 18 * 9 * 27 + 8 * 16 * 5 * 81]
    report = profile(done, duration_s=0.1, size=(12, 20)).to_json()
    assert report["macs"]["parent"] == 10 * 18 * 9 * 27 + 8 * 16 * 5 * 81


@pytest.fixture
def device(monkeypatch, tmp_path):
    """A function that turns this machine into a board with a version of TensorRT's package."""

    def become(version):
        monkeypatch.setattr("platform.machine", lambda: "aarch64")
        _, cudart = fake_tensorrt.install(monkeypatch, version, "Orin", 87)
        return cudart, fake_cuda.compile_stub_plugin(tmp_path)

    return become


@pytest.fixture(scope="module")
def portable(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("trt") / "net.sanp"
    options = {"target": "jetson-orin-nano", "plugin_layers": "all", "opt_batch": 2, "max_batch": 4}
    return sanp.compile(made[2] / "net.onnx", path, **options).bundle


def _copy(bundle, to):
    to.mkdir()
    for name in [*bundle.manifest.files, "manifest.json"]:
        (to / name).write_bytes((bundle.path / name).read_bytes())
    return to


@pytest.mark.parametrize("version", ["8.5.2", "11.1.0"])
def test_tensorrt_has_a_profile_for_each_size(made, portable, device, tmp_path, version):
    """Built, proven, run in parts of the largest batch, validated and profiled; device memory is given back."""
    cudart, stub = device(version)
    bundle = build(_copy(portable, tmp_path / "net.sanp"), plugin=stub)
    profiles = json.loads((bundle.path / "gated.engine").read_bytes().split(b"\n")[1])["profiles"]
    assert [row["input"] for row in profiles] == [[[n, 3, h, w] for n in (1, 2, 4)] for h, w in SIZES]
    with load(bundle.path) as engine:
        assert {size: result.macs.shape for size, result in _compare(made[0], engine, n=7)} == dict.fromkeys(
            SIZES, (7,)
        )
        calls = [engine.bind(np.zeros((2, 3, *size), np.float32)) for size in SIZES]
        first = [call().copy() for call in calls]
        engine.node_times([np.zeros((1, 3, *SIZES[1]), np.float32)])
        for call, expected in [*zip(calls, first)] * 2:  # in turns, and after a profile that took the contexts
            np.testing.assert_array_equal(call(), expected)
        with pytest.raises(InputError, match="HxW one of 32x32, 48x24, 20x36"):
            engine(np.zeros((1, 3, 24, 48), np.float32))
    found = self_test(bundle)
    assert found.passed and "size 20x36" in found.levels()
    reference = bundle.reference()
    wrong = dataclasses.replace(reference, outputs={name: 1.01 * row for name, row in reference.outputs.items()})
    (tmp_path / "reference.npz").write_bytes(wrong.dumps())
    assert "L0 replay" in self_test(bundle, reference=tmp_path / "reference.npz").failed_levels()
    report = profile(bundle, duration_s=0.05, size=(20, 36)).to_json()
    assert report["settings"]["size"] == [20, 36] and report["proof"]["passed"]
    assert not cudart.allocations


def test_half_precision_takes_every_size(made, device, tmp_path):
    _, stub = device("8.6.2")
    path = tmp_path / "half.sanp"
    sanp.compile(made[2] / "net.onnx", path, target="jetson-orin-nano", precision="fp16", plugin_layers="none")
    found = self_test(build(path, plugin=stub) if not open_bundle(path).manifest.engines_built else path)
    assert found.passed, found.summary()


def test_trtexec_builds_and_runs_profiles_since_10(made, portable, tmp_path, monkeypatch):
    recipe = (portable.path / "BUILD.txt").read_text()
    assert recipe.count("by TensorRT's Python package alone") == 2, "JetPack 5 and 6.0 have 8.5 and 8.6"
    line = next(shlex.split(row) for row in recipe.splitlines() if "--profile=1" in row)
    at = line.index("--profile=1")
    assert [item.partition("=")[0] for item in line[at + 1 : at + 4]] == ["--minShapes", "--optShapes", "--maxShapes"]
    fake = fake_trtexec.install(monkeypatch, "10.3.0", tmp_path / "trtexec")
    bundle = build(
        _copy(portable, tmp_path / "net.sanp"), tool="trtexec", plugin=fake_cuda.compile_stub_plugin(tmp_path)
    )
    with load(bundle.path) as engine:
        x = np.random.default_rng(0).standard_normal((1, 3, 20, 36)).astype(np.float32)
        with torch.no_grad():
            expected = made[0](torch.from_numpy(x))["whole"].numpy()
        np.testing.assert_allclose(engine(x)["whole"], expected, rtol=1e-4, atol=1e-4)
    assert "--useProfile=2" in fake.lines[-1]
    with pytest.raises(TargetError, match=r"trtexec of TensorRT 8\.6\.2 knows one optimisation profile"):
        trtexec_lines.build_line("8.6.2", "m", "e", None, [{}, {}])


def test_layers_of_several_profiles_are_read():
    rows = [{"Name": f"a/conv [profile {n}]", "LayerType": "PluginV3", "PluginType": "SanpGatedConv"} for n in (0, 1)]
    found = read_layers(json.dumps({"Layers": rows}))
    assert our_layers(found, {"a/conv": "SanpGatedConv"}) == ("a/conv",)


def test_what_cannot_be_is_said(made, tmp_path):
    network, images, folder = made

    def export(**options):
        return sanp.export(network, tmp_path / "n.onnx", example_input=images[:1], **options)

    with pytest.raises(ExportError, match="the sizes are 48x24, 20x36, expected each once and 32x32 among them"):
        export(sizes=[[48, 24], [20, 36]])
    with pytest.raises(ExportError, match="expected one of them"):
        export(sizes=SIZES, dynamic_size=True)
    with pytest.raises(ExportError, match="expected --macs or --sizes"):
        export(sizes=SIZES, macs=True)
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 2)).eval()

    class Strict(nn.Conv2d):
        def forward(self, x):
            assert x.shape[2] == 32, "32 pixels high, please"
            return super().forward(x)

    for refusing in (flat, nn.Sequential(Strict(3, 4, 3)).eval()):
        for samples in (None, images.numpy()):  # samples ask the network before the export does
            with pytest.raises(ExportError, match=r"takes images of 32x32 and not of 48x24 .*without --sizes"):
                sanp.export(refusing, tmp_path / "n.onnx", example_input=images[:1], images=samples, sizes=SIZES)
    for bad in ("48", "48x", "0x32,32x32", [[48]], [[1, 2, 3]], [[0, 3]], 5):
        with pytest.raises(ConfigError, match="sizes"):
            ExportSettings.checked(sizes=bad)
    with pytest.raises(ConfigError, match="--tune races kernels for one"):
        sanp.compile(folder / "net.onnx", tmp_path / "tuned.sanp", tune=True)
    assert not (tmp_path / "n.onnx").exists()


def test_the_command_line_and_files_take_the_same_list(tmp_path):
    assert ExportSettings.checked(sizes="32x32,48x24").sizes == ((32, 32), (48, 24))
    assert ExportSettings.checked(sizes=[[32, 32], [48, 24]]).sizes == ((32, 32), (48, 24))
    shown = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"})
    assert "--sizes" in shown.output and "224x224,320x256" in shown.output


def test_one_listed_size_is_an_ordinary_model(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    for name, options in (("one", {"sizes": [[8, 8]]}), ("plain", {})):
        sanp.export(network, tmp_path / f"{name}.onnx", example_input=torch.zeros(1, 3, 8, 8), **options)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


def test_a_damaged_list_is_refused(made, tmp_path):
    model = onnx.load(made[2] / "net.onnx")
    rows = json.loads(model_file.metadata_of(model)["sanp.sizes"])
    for change in ({"size": [32, 32]}, {"out_hw": {}}, {"outputs": {"half": [1]}}, {"size": "x"}):
        bad = [rows[0], {**rows[1], **change}]
        onnx.helper.set_model_props(model, {**model_file.metadata_of(model), "sanp.sizes": json.dumps(bad)})
        onnx.save(model, tmp_path / "bad.onnx")
        with pytest.raises(InputError, match=r"size"):
            model_file.read(tmp_path / "bad.onnx", allow_modified=True)
    manifest = open_bundle(made[2] / "net.sanp").manifest
    table = {**manifest.input["sizes"][1], "out_hw": {}}
    broken = dataclasses.replace(manifest, input={**manifest.input, "sizes": [manifest.input["sizes"][0], table]})
    with pytest.raises(InputError, match="other layers or outputs for 48x24"):
        loads(broken.dumps())


def test_resized_is_bilinear():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)
    for size in ((14, 9), (5, 20), (7, 9), (1, 1)):
        expected = torch.nn.functional.interpolate(torch.from_numpy(x), size=size, mode="bilinear")
        np.testing.assert_allclose(resized(x, size), expected.numpy(), rtol=1e-5, atol=1e-6)
