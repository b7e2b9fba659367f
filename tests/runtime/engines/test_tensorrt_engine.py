"""Build, proof, load, validation and profile of a TensorRT bundle, in the three dialects of the Python package.

The fake computes real numbers (tests/fakes/tensorrt.py), so answers are compared with the NumPy reference.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.bundle.manifest_reading import loads
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.cli import main
from sanp_runtime.contract import VARIANTS
from sanp_runtime.engines.tensorrt.builder import build
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from sanp_targets.errors import AccelerationError, ConfigError, InputError, TargetError
from sanp_targets.sensors.registry import GPU_SENSORS
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt
from tests.support import tiny_net
from tests.support import tiny_tensorrt as tiny_trt
from tests.support.tiny_bundle import make_reference

# Version, target, machine and GPU of each dialect.
DIALECTS = {
    "8.5.2": ("jetson-agx-xavier", "aarch64", "Xavier", 72),
    "8.6.2": ("jetson-orin-nano", "aarch64", "Orin", 87),
    "10.3.0": ("jetson-orin-nano", "aarch64", "Orin", 87),
    "11.1.0": ("x86-cuda", "x86_64", "NVIDIA H200", 90),
}


@pytest.fixture(scope="session")
def stub(tmp_path_factory):
    return fake_cuda.compile_stub_plugin(tmp_path_factory.mktemp("stub"))


@pytest.fixture
def machine(monkeypatch):
    """A function that turns this machine into one with a TensorRT version and the GPU of its target."""

    def become(version="10.3.0"):
        target, arch, gpu, sm = DIALECTS[version]
        monkeypatch.setattr("platform.machine", lambda: arch)
        return target, *fake_tensorrt.install(monkeypatch, version, gpu, sm)

    return become


@pytest.fixture
def built(machine, stub, tmp_path):
    target, *_ = machine()
    tiny_trt.write(tmp_path / "net.sanp", target)
    return build(tmp_path / "net.sanp", plugin=stub)


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_build_validate_profile_end_to_end(machine, stub, tmp_path, version, precision):
    target, _, cudart = machine(version)
    tiny_trt.write(tmp_path / "net.sanp", target, precision)
    said = []
    bundle = build(tmp_path / "net.sanp", plugin=stub, log=said.append)
    assert any(version in line for line in said) and len([line for line in said if "building" in line]) == 4
    assert bundle.digest() == open_bundle(bundle.path).digest(), "hashes are right after the rewrite"
    assert bundle.manifest.build["fingerprint"]["tensorrt"] == version
    result = self_test(bundle)
    assert result.passed, result.summary()
    assert result.proof.seen_in.startswith(f"TensorRT {version}") and len(result.proof.accelerated) == 6
    assert result.replay.max_error > 0 and (precision == "fp32" or result.replay.max_error > 1e-5)
    report = profile(bundle, duration_s=0.05).to_json()
    assert report["versions"]["tensorrt"] == version and report["library"]["isa"] == f"sm_{DIALECTS[version][3]}"
    assert report["proof"]["passed"] and "TensorRT" in report["includes"] and "TensorRT" in report["node_times"]["note"]
    assert report["device"]["accelerator"]["tensorrt"] == version and version in report["device_name"]
    row = {row["name"]: row for row in report["layers"]}["block.a"]
    assert row["gated_ms"] > row["gate_ms"] > 0 and row["dense_ms"] > 0
    assert not cudart.allocations, "all device memory was freed"


def test_gates_masks_and_batches(built):
    """7 samples through an engine for at most 4; masks of one row and of one row per sample."""
    x = tiny_net.samples(7)
    answers = tiny_net.reference(tiny_net.weights(), x)
    with load(built.path) as engine:
        result = engine(x)
        np.testing.assert_allclose(result.logits, answers["logits"], rtol=1e-4, atol=1e-4)
        for layer in tiny_net.GATED:
            np.testing.assert_allclose(result.gates[layer], answers[f"scale/{layer}"], rtol=1e-4, atol=1e-5)
        mask = np.ones((7, tiny_net.WIDTH), np.float32)
        mask[:, ::2] = 0
        closed = engine(x, {"block.a": mask})
        assert not closed.gates["block.a"][:, ::2].any() and (closed.macs <= result.macs).all()
        np.testing.assert_array_equal(engine(x, {"block.a": mask[:1]}).logits, closed.logits)
        mask[3] = 1
        mixed = engine(x, {"block.a": mask}).logits
        np.testing.assert_allclose(mixed[3], result.logits[3], rtol=1e-6)
        np.testing.assert_allclose(mixed[2], closed.logits[2], rtol=1e-6)


def test_bound_batches_keep_their_inputs_apart(built):
    x = tiny_net.samples(4)
    mask = {"stem": np.zeros((1, 8), np.float32)}
    with load(built.path) as engine:
        expected, masked, second = engine(x[:2]).logits, engine(x[:2], mask).logits, engine(x[2:]).logits
        calls = [engine.bind(x[:2]), engine.bind(x[:2], mask), engine.bind(x[2:])]
        x[:] = 0
        for _ in range(2):
            for call, logits in zip(calls, (expected, masked, second)):
                np.testing.assert_array_equal(call(), logits)
                np.testing.assert_array_equal(call(), logits)
        with pytest.raises(ConfigError, match="at most 4"):
            engine.bind(tiny_net.samples(5))
    with pytest.raises(ConfigError, match="closed"):
        engine(tiny_net.samples(1))
    engine.close()


def test_bound_calls_on_a_gpu_take_new_values_with_update(built):
    """The input is in device memory: writing into the array changes nothing until `update`."""
    x = tiny_net.samples(4)
    with load(built.path) as engine:
        first, second = engine(x[:2]), engine(x[2:])
        out = {"logits": np.zeros_like(first.logits), "gate.stem": np.zeros_like(first.gates["stem"])}
        call = engine.bind(x[:2], outputs=("logits", "gate.stem"), out=out)
        call.input[...] = x[2:]
        assert call() is out["logits"]
        np.testing.assert_array_equal(out["logits"], first.logits)
        np.testing.assert_array_equal(out["gate.stem"], first.gates["stem"])
        call.update()
        np.testing.assert_array_equal(call(), second.logits)
        np.testing.assert_array_equal(out["gate.stem"], second.gates["stem"])
    with pytest.raises(ConfigError, match="closed"):
        call()


def test_a_bound_call_gives_back_its_device_memory(machine, stub, tmp_path):
    """Binding again and again must not fill the GPU: closed or forgotten calls free theirs, and only theirs."""
    target, _, cudart = machine()
    tiny_trt.write(tmp_path / "net.sanp", target)
    with load(build(tmp_path / "net.sanp", plugin=stub).path) as engine:
        kept, before = engine.bind(tiny_net.samples(1)), len(cudart.allocations)
        expected = kept().copy()
        for _ in range(3):
            engine.bind(tiny_net.samples(2))()
        closed = engine.bind(tiny_net.samples(2), {"stem": np.ones((1, tiny_net.WIDTH), np.float32)})
        assert len(cudart.allocations) == before + 2, "an input and a mask"
        closed.close()
        closed.close()
        assert len(cudart.allocations) == before
        with pytest.raises(ConfigError, match="closed"):
            closed()
        np.testing.assert_array_equal(kept(), expected)
    kept.close()
    assert not cudart.allocations


def test_native_layers_need_no_plugin(machine, tmp_path, stub):
    target, *_ = machine()
    tiny_trt.write(tmp_path / "mixed.sanp", target, plugin=("block.a",))
    mixed = build(tmp_path / "mixed.sanp", plugin=stub)
    with load(mixed.path) as engine:
        assert set(engine.proof().require().gated_nodes) == {
            "stem/gate", "block.a/gate", "block.b/gate", "block.a/conv"
        }  # fmt: skip
    tiny_trt.write(tmp_path / "none.sanp", target, plugin=())
    none = build(tmp_path / "none.sanp", plugin="/does/not/matter")
    assert "libsanp_trt.so" not in none.manifest.files
    for bundle in (mixed, none):
        assert self_test(bundle).passed


def test_weak_typing_is_told_what_stays_single(machine, stub, tmp_path):
    """TensorRT 8 may run anything in FP16 once it is allowed to; gates and reductions must be named."""
    target, *_ = machine("8.5.2")
    tiny_trt.write(tmp_path / "net.sanp", target, "fp16", plugin=())
    bundle = build(tmp_path / "net.sanp", plugin=stub)
    header = json.loads((bundle.path / "gated.engine").read_bytes().split(b"\n")[1])
    parts = ("pool", "squeeze", "squeeze/bias", "excite", "excite/bias", "open", "scale")
    expected = {f"{layer}/gate/{part}" for layer in tiny_net.GATED for part in parts}
    assert expected | {"pool"} <= set(header["single"]) and "stem/conv" not in header["single"]


def test_gates_of_a_weakly_typed_engine_decide_in_single(machine, tmp_path):
    """Saliencies that differ from the threshold by less than half can tell, above and below in turn."""
    target, *_ = machine("8.6.2")
    weights = tiny_net.weights()
    x = tiny_net.samples(1).astype(np.float16).astype(np.float32)
    beyond = np.where(np.arange(tiny_net.WIDTH) % 2, 3e-5, -3e-5).astype(np.float32)
    weights["stem.gate.b2"] += tiny_net.THRESHOLD + beyond - tiny_net.reference(weights, x)["saliency/stem"][0]
    tiny_trt.write(tmp_path / "net.sanp", target, "fp16", plugin=(), weights=weights)
    with load(build(tmp_path / "net.sanp").path) as engine:
        scale = engine(x).gates["stem"][0]
    np.testing.assert_array_equal(scale > 0, beyond > 0)
    np.testing.assert_allclose(scale[beyond > 0], tiny_net.THRESHOLD + 3e-5, rtol=1e-5)


def test_a_layer_that_cannot_be_pinned_stops_the_build(machine, tmp_path, monkeypatch):
    target, module, _ = machine("8.5.2")
    tiny_trt.write(tmp_path / "net.sanp", target, "fp16", plugin=())
    monkeypatch.setattr(module.OnnxParser, "rename", "stem/gate/open", raising=False)
    with pytest.raises(TargetError, match=r"made no layer of stem/gate/open, expected all \d+ layers"):
        build(tmp_path / "net.sanp")


@pytest.mark.parametrize("variant", ["gated", "open", "replay"])
def test_a_layer_that_is_not_our_plugin_stops_the_build(machine, stub, tmp_path, variant):
    target, module, cudart = machine()
    before = tiny_trt.write(tmp_path / "net.sanp", target).digest()
    real = module.Builder.build_serialized_network

    def sabotage(self, network, config):
        module.sabotage = {"block.a/conv"} if f"{variant}" == network.model.graph.name else set()
        return real(self, network, config)

    module.Builder.build_serialized_network = sabotage
    with pytest.raises(AccelerationError, match=r"1 of \d gated nodes.*block\.a/conv.*engine inspector"):
        build(tmp_path / "net.sanp", plugin=stub)
    assert open_bundle(tmp_path / "net.sanp").digest() == before, "the bundle is as it was"
    assert not cudart.allocations


def test_a_bundle_without_engines_names_the_command(machine, tmp_path):
    target, *_ = machine()
    bundle = tiny_trt.write(tmp_path / "net.sanp", target)
    command = rf"python3 {bundle.path}/device.pyz build {bundle.path}"
    with pytest.raises(TargetError, match=command) as error:
        load(bundle.path)
    assert error.value.exit_code == 3
    with pytest.raises(TargetError, match=command):
        self_test(bundle)


@pytest.mark.parametrize(
    ("version", "gpu", "found"),
    [("10.16.2", "Orin", "tensorrt 10.3.0 there and 10.16.2 here"), ("10.3.0", "Orin Nano", "gpu Orin there")],
)
def test_engines_of_another_machine_are_refused(built, monkeypatch, version, gpu, found):
    fake_tensorrt.install(monkeypatch, version, gpu, 87)
    with pytest.raises(TargetError, match=rf"{found}.*device\.pyz build"):
        load(built.path)


def test_a_longer_version_string_is_the_same_version(built, monkeypatch):
    fake_tensorrt.install(monkeypatch, "10.3.0", "Orin", 87)[0].__version__ = "10.3.0.30"
    load(built.path).close()


def test_wrong_places_to_build(machine, stub, tmp_path, monkeypatch, pristine):
    target, *_ = machine()
    bundle = tiny_trt.write(tmp_path / "net.sanp", target)
    fake_tensorrt.install(monkeypatch, "10.3.0", "Thor", 110)
    with pytest.raises(TargetError, match=r"compiled for jetson-orin-nano \(sm_87\), this GPU is Thor \(sm_110\)"):
        build(bundle.path, plugin=stub)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(TargetError, match=r"aarch64.*this machine is x86_64.*device\.pyz build"):
        build(bundle.path, plugin=stub)
    with pytest.raises(ConfigError, match="has no engines to build"):
        build(pristine)


def test_an_older_bundle_for_a_target_of_an_old_name_is_built(machine, stub, tmp_path):
    """It does not say for which GPU it is, and no target has its name any more: both are said, and neither matters."""
    machine("8.5.2")
    bundle, said = tiny_trt.write(tmp_path / "net.sanp", "jetson-xavier", keeps_sm=False), []
    build(bundle.path, plugin=stub, log=said.append)
    assert any("older version" in line and "jetson-xavier" in line for line in said)
    with load(bundle.path) as engine:
        assert engine.proof().passed


def test_without_tensorrt_or_gpu(machine, tmp_path, stub, monkeypatch):
    target, _, cudart = machine()
    bundle = tiny_trt.write(tmp_path / "net.sanp", target)
    cudart.fail = "cudaStreamCreate"
    with pytest.raises(TargetError, match=r"CUDA error 100 \(no CUDA-capable device"):
        build(bundle.path, plugin=stub)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.tools.find_trtexec", lambda: None)
    with pytest.raises(TargetError, match="python3-libnvinfer"):
        build(bundle.path, plugin=stub)
    with pytest.raises(TargetError, match="libnvinfer-bin"):
        build(bundle.path, plugin=stub, tool="trtexec")
    with pytest.raises(ConfigError, match="expected auto, python or trtexec"):
        build(bundle.path, tool="magic")


def test_a_plugin_of_another_tensorrt_is_refused(machine, tmp_path):
    target, *_ = machine()
    bundle = tiny_trt.write(tmp_path / "net.sanp", target)
    with pytest.raises(TargetError, match="registered 0 of 2"):
        build(bundle.path, plugin=fake_cuda.compile_stub_plugin(tmp_path, 0))
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(TargetError, match="cannot be loaded on this machine"):
        build(bundle.path, plugin=tmp_path / "text.so")
    with pytest.raises(InputError, match="is not a file"):
        build(bundle.path, plugin=tmp_path / "absent.so")


def test_what_tensorrt_says_reaches_the_user(machine, stub, tmp_path):
    target, module, _ = machine()
    bundle = tiny_trt.write(tmp_path / "net.sanp", target)
    real = module.OnnxParser.parse_from_file

    def parse(self, path):
        self.errors.append("Plugin not found, are the plugin name and version correct?")
        return real(self, path)

    module.OnnxParser.parse_from_file = parse
    with pytest.raises(TargetError, match=r"10\.3\.0 cannot read gated\.onnx: Plugin not found"):
        build(bundle.path, plugin=stub)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": None}, "build.batch"),
        ({"batch": {"min": 1, "opt": 8, "max": 4}}, "build.batch"),
        ({"batch": {"min": 1, "opt": True, "max": 4}}, "build.batch"),
        ({"precision": "int4"}, "build.precision"),
        ({"plugin_layers": ["nowhere"]}, "build.plugin_layers"),
        ({"plugin_layers": "stem"}, "build.plugin_layers"),
        ({"engines": {"gated": {"file": "gated.engine"}}}, "build.engines"),
        ({"engines": {key: {"file": "../../etc/passwd"} for key in VARIANTS}}, "build.engines"),
        ({"engines": {key: {"file": "gated.onnx"} for key in VARIANTS}}, "build.fingerprint"),
        ({"engines": []}, "build.engines"),
        ({"single_nodes": {"gated": ["stem/gate/pool"]}}, "build.single_nodes"),
        ({"single_nodes": {"gated": {"stem/gate/pool": "fp16"}}}, "build.single_nodes"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path, change, message):
    manifest = tiny_trt.write(tmp_path / "net.sanp").manifest
    wrong = dataclasses.replace(manifest, build={**manifest.build, **change})
    with pytest.raises(InputError, match=message):
        loads(wrong.dumps())


def test_options_of_onnxruntime_are_refused(built):
    for wrong in ({"threads": 2}, {"library": None}, {"isa": "avx2"}):
        with pytest.raises(ConfigError, match="leave them out"):
            load(built.path, **wrong)


def test_the_device_command_line(machine, stub, tmp_path, capsys, monkeypatch):
    target, *_ = machine()
    path = tiny_trt.write(tmp_path / "net.sanp", target).path
    assert main(["self-test", str(path)]) == 3 and "has no engines yet" in capsys.readouterr().err
    monkeypatch.chdir(path)
    assert main(["build", ".", "--plugin", str(stub)]) == 0
    monkeypatch.chdir(tmp_path)
    out, err = capsys.readouterr()
    assert "6 of 6 gated nodes ran in our kernels" in out and "building dense" in err
    for command in ("self-test", "validate"):
        assert main([command, str(path)]) == 0 and "kernels: PASS" in capsys.readouterr().out
    assert main(["run", str(path)]) == 0
    assert main(["profile", str(path), "--duration", "0.05", "--allow-invalid"]) == 0
    assert main(["self-test", str(path), "--plain"]) == 2
    assert len(make_reference()) == 6


def test_a_profile_looks_at_the_gpu(built, monkeypatch):
    monkeypatch.setattr("sanp_targets.sensors.registry.gpu_levels", lambda root: {"gpu0/power cap": 1})
    monkeypatch.setitem(GPU_SENSORS, "gpu_clock_mhz", lambda root: {"gpu0": 918.0})
    report = profile(built, duration_s=0.05).to_json()
    assert report["validity"]["verdict"] == "THROTTLED"
    assert "gpu0/power cap was at level 1 when the measurement began" in report["validity"]["reasons"]
    assert report["validity"]["evidence"]["gpu_clock_mhz"] == {"gpu0": [918.0, 918.0]}
