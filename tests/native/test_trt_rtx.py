"""TensorRT-RTX parses our models and builds engines with our plugins, on the CPU. Needs TENSORRT_ROOT with headers of
TensorRT 11 (its interface) and the RTX libraries; `make test-tensorrt` fetches those.

RTX is a product of its own: what passes here has the right nodes, attributes and V3 adapter; it proves nothing for a
Jetson.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.native import trt_build

WHEEL = "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"
FOLDER = trt_build.ROOT / "build/tensorrt-rtx"
PLUGIN_V3 = "46"  # nvinfer1::LayerType::kPLUGIN_V3
OPERATORS = ("SanpGatedConv", "SanpChannelGate")


@pytest.fixture(scope="module")
def rtx() -> Path:
    """Folder with the RTX libraries under their linker names; the wheel is fetched once when SANP_FETCH_RTX is set."""
    for library in ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so"):
        if not (FOLDER / library).is_file():
            fetch()
    return FOLDER


def fetch() -> None:
    """NVIDIA's licence allows testing with it, not passing it on: it stays in the build folder."""
    if os.environ.get("SANP_FETCH_RTX") != "1":
        pytest.skip("TensorRT-RTX is not there; make test-tensorrt fetches it (140 MB)")
    wheels = FOLDER / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{WHEEL} could not be fetched: {done.stderr.strip().splitlines()[-1]}")
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as archive:
        for name in archive.namelist():
            stem = Path(name).name.split(".so")[0]
            if stem in ("libtensorrt_rtx", "libtensorrt_onnxparser_rtx"):
                (FOLDER / "part").write_bytes(archive.read(name))
                (FOLDER / "part").replace(FOLDER / f"{stem}.so")


@pytest.fixture(scope="module")
def build() -> Path:
    """The program and the V3 libraries, with host kernels, against the newest headers of TensorRT 11."""
    trees = {name: path for name, path in trt_build.header_trees().items() if name.startswith("11")}
    trees = {name: path for name, path in trees.items() if (path / "include/NvOnnxParser.h").is_file()}
    if not trees:
        pytest.skip(f"no TensorRT 11 headers with NvOnnxParser.h; {trt_build.HEADERS_HINT}")
    trt_build.cuda_headers()
    newest = max(trees, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    options = ("-DSANP_TRT_MOCK=ON", f"-DTENSORRT_ROOT={trees[newest]}", "-DSANP_TRT_V2=OFF", "-DSANP_TRT_SANITIZE=")
    return trt_build.build(trt_build.ROOT / f"build/trt-mock/{newest}-V3", *options)


def parse_and_build(rtx: Path, build: Path, model: onnx.ModelProto, tmp_path: Path, *options: str) -> list[list[str]]:
    """Lines of the program as words: layers of the network, then the engine."""
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    library = build / "trt" / ("libsanp_trt_creators.so" if "--creators" in options else "libsanp_trt.so")
    # The parser opens the runtime by name. No device: the real kernels would say the same here.
    environment = {**os.environ, "LD_LIBRARY_PATH": str(rtx), "SANP_HOST_KERNELS_DEVICE": "none"}
    text = trt_build.run([build / "sanp_trt_rtx", rtx, library, path, *options], env=environment)
    return [line.split() for line in text.splitlines()]


def assert_plugins(lines: list[list[str]], model: onnx.ModelProto) -> None:
    """Every gated node is one plugin layer of that name, there are no others, and the engine holds them."""
    expected = {node.name: node.op_type for node in model.graph.node if node.op_type in OPERATORS}
    found = {words[2]: words[3] for words in lines if words[0] == "layer" and words[1] == PLUGIN_V3}
    assert found == expected
    assert lines[-1][0] == "engine"
    assert int(lines[-1][1]) > 1000
    assert sorted(lines[-1][2:]) == sorted(set(expected.values()))


def by_hand() -> onnx.ModelProto:
    """A gate and a convolution with a residual, as docs/operators.md has them, without the exporter."""
    rng = np.random.default_rng(0)
    shapes = {"w1": [4, 8], "b1": [4], "w2": [12, 4], "b2": [12], "bias": [12], "w": [3, 3, 8, 12], "active": [1, 8],
              "zero": [1]}  # fmt: skip
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    constants["active"][:] = 1
    constants["zero"][:] = 0
    plugin = {"domain": "sanp", "plugin_version": "1", "plugin_namespace": ""}
    gate = helper.make_node("SanpChannelGate", ["x", "w1", "b1", "w2", "b2", "bias", "mask"], ["scale", "shift"],
                            name="gate", threshold=0.25, k=3, **plugin)  # fmt: skip
    conv = helper.make_node("SanpGatedConv", ["x", "w", "scale", "shift", "active", "zero"], ["y"], name="conv",
                            strides=[2, 1], pads=[1, 1, 1, 1], dilations=[1, 1], group=1, act_min=0.0,
                            act_max=float("inf"), weight_order=1, **plugin)  # fmt: skip
    graph = helper.make_graph(
        [gate, conv], "by_hand",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 16, 16]),
         helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12, 8, 16])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("sanp", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("options", [(), ("--creators",), ("--local",), ("--batch", "1")])
def test_a_model_by_hand(rtx, build, tmp_path, options):
    assert_plugins(parse_and_build(rtx, build, by_hand(), tmp_path, *options), by_hand())


def test_a_library_for_another_major_version_is_refused(rtx, build, tmp_path):
    """The registries of 10 and 11 have different virtual tables: registering would crash."""
    older = {name: path for name, path in trt_build.header_trees().items() if trt_build.major_version(path) < 11}
    if not older:
        pytest.skip(f"no headers of another major version; {trt_build.HEADERS_HINT}")
    name, tree = min(older.items())
    interface = "V3" if trt_build.major_version(tree) >= 10 else "V2"
    options = ("-DSANP_TRT_MOCK=ON", f"-DTENSORRT_ROOT={tree}", f"-DSANP_TRT_V2={'ON' if interface == 'V2' else 'OFF'}")
    folder = trt_build.build(trt_build.ROOT / f"build/trt-mock/{name}-{interface}", *options, target="sanp_trt")
    onnx.save(by_hand(), tmp_path / "model.onnx")
    command = [build / "sanp_trt_rtx", rtx, folder / "trt/libsanp_trt.so", tmp_path / "model.onnx"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(rtx)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.returncode
    assert "compile it again" in done.stderr


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["plain", "residual", "concatenating", "static", "top-k"])
def test_exported_graphs(rtx, build, tmp_path, name, precision):
    """All four graphs of a bundle; the dense one has no plugin at all."""
    pytest.importorskip("torch")
    from sanp_export.tensorrt import TensorrtOptions, convert
    from tests.support.exported_nets import compiled

    for graph, model in compiled(name)[1].items():
        copy = convert(model, TensorrtOptions(precision, None))
        assert bool(Counter(n.op_type for n in copy.graph.node).keys() & set(OPERATORS)) == (graph != "dense")
        assert_plugins(parse_and_build(rtx, build, copy, tmp_path), copy)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_profile_for_each_size(rtx, build, tmp_path, precision):
    """A network for a list of image sizes, open in its graph: the plugins take every size, one profile each."""
    torch = pytest.importorskip("torch")
    import sanp
    from sanp_export.exporter import export
    from sanp_export.open_size import ExportOptions
    from sanp_export.tensorrt import TensorrtOptions, convert
    from sanp_export.variants import variants
    from tests.support.structures import SqueezeExcite, conv

    torch.manual_seed(0)
    network = torch.nn.Sequential(conv(3, 16, 3, 2), SqueezeExcite(16, 24), torch.nn.Upsample(scale_factor=2.0))
    example = torch.zeros(1, 3, 32, 32)
    gated = sanp.gate(network.eval(), example)
    model = export(gated, example, ExportOptions(sizes=((32, 32), (48, 24), (20, 36))))
    for variant in variants(model).values():
        copy = convert(variant, TensorrtOptions(precision, None))
        sizes = [word for text in ("32x32", "48x24", "20x36") for word in ("--size", text)]
        assert_plugins(parse_and_build(rtx, build, copy, tmp_path, *sizes), copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": [2]}, "strides"),
        ({"group": 5}, "group"),
        ({"act_min": float("nan")}, "act_min"),
        ({"pads": None}, "pads"),
    ],
)
def test_wrong_attributes_stop_the_parser(rtx, build, tmp_path, change, message):
    model = by_hand()
    conv = model.graph.node[1]
    for name, value in change.items():
        kept = [a for a in conv.attribute if a.name != name]
        del conv.attribute[:]
        conv.attribute.extend(kept + ([helper.make_attribute(name, value)] if value is not None else []))
    path = tmp_path / "bad.onnx"
    onnx.save(model, path)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(rtx), "SANP_HOST_KERNELS_DEVICE": "none"}
    command = [build / "sanp_trt_rtx", rtx, build / "trt/libsanp_trt.so", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "SanpGatedConv: " in done.stderr, done.stderr
    assert message in done.stderr, done.stderr
