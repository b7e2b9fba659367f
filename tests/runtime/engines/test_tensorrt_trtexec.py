"""trtexec: command lines per version, its export files, and the whole way where only trtexec is installed."""

from __future__ import annotations

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.engines.tensorrt import trtexec
from sanp_runtime.engines.tensorrt.builder import build
from sanp_runtime.engines.tensorrt.layers import EngineLayer, node_name, our_layers, read_layers
from sanp_runtime.engines.tensorrt.versions import find_trtexec, trtexec_version, version_of_banner
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from sanp_targets.errors import AccelerationError, ConfigError, InputError, TargetError
from tests.fakes import cuda as fake_cuda
from tests.fakes import trtexec as fake_trtexec
from tests.support import tiny_net
from tests.support import tiny_tensorrt as tiny_trt

SHAPES = {"input": ([1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 8, 8]), "mask.a": ([1, 5], [2, 5], [4, 5])}
SINGLE = {"a/gate/pool": "fp32", "b": "fp32+int32", "c": ""}


@pytest.mark.parametrize(
    ("version", "half", "expected", "absent"),
    [
        (
            "8.5.2",
            True,
            [
                "--plugins=p.so",
                "--fp16",
                "--layerPrecisions=a/gate/pool:fp32,b:fp32,c:fp32",
                "--layerOutputTypes=a/gate/pool:fp32,b:fp32+int32",
            ],
            ["static", "strong"],
        ),
        ("8.6.2", False, ["--staticPlugins=p.so"], ["--fp16", "--plugins", "strong"]),
        ("10.3.0", True, ["--staticPlugins=p.so", "--stronglyTyped"], ["--fp16", "layerPrecisions"]),
        ("11.1.0", True, ["--staticPlugins=p.so"], ["--fp16", "strong", "layerPrecisions", "layerOutputTypes"]),
    ],
)
def test_build_lines(version, half, expected, absent):
    line = trtexec.build_line(version, "m.onnx", "m.engine", "p.so", [SHAPES], half, SINGLE, "l.json")
    assert [item for item in expected if item not in line] == []
    assert not [word for word in absent if any(word in item for item in line)]
    assert "--minShapes=input:1x3x8x8,mask.a:1x5" in line and "--maxShapes=input:4x3x8x8,mask.a:4x5" in line
    assert {"--noTF32", "--profilingVerbosity=detailed", "--exportLayerInfo=l.json"} <= set(line)
    assert not any("lugins" in item for item in trtexec.build_line(version, "m.onnx", "m.engine", None, [SHAPES]))


@pytest.mark.parametrize(
    ("number", "version"), [("8502", "8.5.2"), ("8602", "8.6.2"), ("100300", "10.3.0"), ("101602", "10.16.2")]
)
def test_banners(number, version):
    assert version_of_banner(f"&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] [b1] # trtexec --help") == version


def test_a_program_that_is_not_trtexec(tmp_path, monkeypatch):
    path = tmp_path / "trtexec"
    path.write_text("#!/bin/sh\necho hello\nexit 3\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_trtexec() == path
    with pytest.raises(TargetError, match="no banner"):
        trtexec_version(path)
    with pytest.raises(TargetError, match=r"ended with 3:\n  hello"):
        trtexec.run(path, ["--onnx=x"])


# Written by hand after the writers in TensorRT's samples/common/sampleReporting.cpp.
TIMES = """[
  { "startEnqMs" : 0.01, "endEnqMs" : 0.05, "startH2dMs" : 0, "endH2dMs" : 0, "startComputeMs" : 0.06,
 "endComputeMs" : 0.31, "startD2hMs" : 0, "endD2hMs" : 0, "h2dMs" : 0, "computeMs" : 0.25, "d2hMs" : 0,
 "latencyMs" : 0.26 }
, { "startEnqMs" : 1, "endEnqMs" : 1, "startH2dMs" : 0, "endH2dMs" : 0, "startComputeMs" : 1, "endComputeMs" : 1,
 "startD2hMs" : 0, "endD2hMs" : 0, "h2dMs" : 0, "computeMs" : 0.5, "d2hMs" : 0, "latencyMs" : 0.75 }
]
"""
PROFILE = """[
  { "count" : 208 }
, { "name" : "Reformatting CopyNode for Input Tensor 0 to stem/conv", "timeMs" : 1.5, "averageMs" : 0.01, "medianMs" : 0.02, "percentage" : 1.2 }
, { "name" : "stem/conv", "timeMs" : 30, "averageMs" : 0.15, "medianMs" : 0.14, "percentage" : 88 }
, { "name" : "old", "timeMs" : 30, "averageMs" : 0.5, "percentage" : 1 }
]
"""  # noqa: E501
OUTPUT = """[
  { "name" : "logits"
  , "dimensions" : "2x3"
  , "values" : [ 1, -2.5, 3.40282e+38, nan, -inf, 0.000123457 ]
  }
, { "name" : "gate.stem"
  , "dimensions" : "2x1"
  , "values" : [ 0, 1 ]
  }
]
"""


def test_export_files():
    times = trtexec.read_times(TIMES)
    np.testing.assert_array_equal(times.compute_ms, [0.25, 0.5])
    np.testing.assert_array_equal(times.latency_ms, [0.26, 0.75])
    rows = trtexec.read_profile(PROFILE)
    assert rows[1:] == [("stem/conv", 0.14), ("old", 0.5)], "the median, or the mean of versions without one"
    assert node_name(rows[0][0]) == "stem/conv" and node_name("PWN(PWN(a/act), b/sum)") == "a/act"
    found = trtexec.read_outputs(OUTPUT)
    assert found["logits"].shape == (2, 3) and found["gate.stem"].tolist() == [[0], [1]]
    np.testing.assert_array_equal(
        found["logits"], np.array([[1, -2.5, 3.40282e38], [np.nan, -np.inf, 0.000123457]], np.float32)
    )


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[{}]", "[{]", "[]"])
def test_damaged_export_files_are_input_errors(text):
    readers = [trtexec.read_times, trtexec.read_profile, trtexec.read_outputs]
    for reader in readers[: 1 if text == "[]" else 3]:
        if reader is trtexec.read_profile and text == "[{}]":
            continue  # a row without a name is the header
        with pytest.raises(InputError):
            reader(text)


def test_layer_information_of_the_dialects():
    old = """{"Layers": [
      {"Name": "stem/conv", "LayerType": "PluginV2", "Inputs": [], "Outputs": [], "ParameterType": "PluginV2",
       "PluginType": "SanpGatedConv"},
      {"Name": "Reformatting CopyNode for Input Tensor 0 to stem/conv", "LayerType": "Reformat"},
      {"Name": "a/conv + a/act", "LayerType": "CaskConvolution"}], "Bindings": ["input"]}"""
    new = """{"Layers": [
      {"Name": "stem_conv_plugin", "LayerType": "PluginV3", "PluginType": "SanpGatedConv",
       "Metadata": "[ONNX Layer: stem/conv]"},
      {"Name": "__myl_FcRelu_myl0_1", "LayerType": "gemm",
       "Metadata": "[ONNX Layer: a/conv]\\u001e[ONNX Layer: a/act]"}],
      "I/O Tensors": ["input"]}"""
    expected = {"stem/conv": "SanpGatedConv", "a/conv": "SanpGatedConv"}
    for text in (old, new):
        assert our_layers(read_layers(text), expected) == ("stem/conv",)
    assert our_layers(read_layers(old), {"stem/conv": "SanpChannelGate"}) == (), "a plugin of another operator"
    assert our_layers([EngineLayer("stem/conv", "PluginV2", "", ("stem/conv",))], expected) == ("stem/conv",)


def test_names_alone_prove_nothing():
    with pytest.raises(InputError, match="profilingVerbosity"):
        read_layers('{"Layers": ["stem/conv"], "Bindings": []}')
    for text in ("", "[]", "{}"):
        with pytest.raises(InputError, match="not TensorRT's JSON"):
            read_layers(text)


@pytest.fixture(scope="session")
def stub(tmp_path_factory):
    return fake_cuda.compile_stub_plugin(tmp_path_factory.mktemp("stub"))


@pytest.fixture
def only_trtexec(monkeypatch, tmp_path):
    """A function that makes this a machine with a GPU and trtexec of a version, but no Python package."""

    return lambda version: fake_trtexec.install(monkeypatch, version, tmp_path / "trtexec")


@pytest.mark.parametrize(
    ("version", "precision"), [("8.5.2", "fp16"), ("8.6.2", "fp32"), ("10.3.0", "fp16"), ("11.1.0", "fp32")]
)
def test_build_validate_profile_with_trtexec_alone(only_trtexec, stub, tmp_path, version, precision):
    fake = only_trtexec(version)
    tiny_trt.write(tmp_path / "net.sanp", "jetson-orin-nano", precision)
    bundle = build(tmp_path / "net.sanp", plugin=stub)
    result = self_test(bundle)
    assert result.passed, result.summary()
    assert "layer information" in result.proof.seen_in
    report = profile(bundle, duration_s=0.01, samples=tiny_net.samples(3)).to_json()
    latency = report["variants"]["gated"]["latency"]
    assert latency["count"] == 60 and 0.1 < latency["p50"] < 1, "20 calls of 3 samples, GPU times of trtexec"
    assert "trtexec" in report["includes"] and all("--useCudaGraph" in line for line in fake.lines if _timed(line))
    with load(bundle.path) as engine, pytest.raises(ConfigError, match=r"starts a process for.*engine\(x\)"):
        engine.bind(tiny_net.samples(2))


def test_trtexec_of_a_weakly_typed_version_decides_in_single(only_trtexec, tmp_path):
    only_trtexec("8.5.2")
    weights = tiny_net.weights()
    x = tiny_net.samples(1).astype(np.float16).astype(np.float32)
    beyond = np.where(np.arange(tiny_net.WIDTH) % 2, 3e-5, -3e-5).astype(np.float32)
    weights["stem.gate.b2"] += tiny_net.THRESHOLD + beyond - tiny_net.reference(weights, x)["saliency/stem"][0]
    tiny_trt.write(tmp_path / "net.sanp", "jetson-orin-nano", "fp16", plugin=(), weights=weights)
    with load(build(tmp_path / "net.sanp").path) as engine:
        np.testing.assert_array_equal(engine(x).gates["stem"][0] > 0, beyond > 0)


def _timed(line):
    return any(item.startswith("--exportTimes") for item in line)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"no library at all"])
def test_trtexec_never_gets_a_plugin_that_is_none(only_trtexec, tmp_path, content):
    fake = only_trtexec("10.3.0")
    tiny_trt.write(tmp_path / "net.sanp", "jetson-orin-nano")
    (tmp_path / "plugin.so").write_bytes(content)
    with pytest.raises(TargetError, match=r"plugin\.so: cannot be loaded on this machine"):
        build(tmp_path / "net.sanp", plugin=tmp_path / "plugin.so")
    assert not fake.lines


def test_trtexec_proves_too(only_trtexec, stub, tmp_path):
    fake = only_trtexec("10.3.0")
    fake.trt.sabotage = {"stem/gate"}
    tiny_trt.write(tmp_path / "net.sanp", "jetson-orin-nano")
    with pytest.raises(AccelerationError, match=r"stem/gate.*layer information"):
        build(tmp_path / "net.sanp", plugin=stub)
