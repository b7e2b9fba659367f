"""The TensorRT copy of every graph computes what the original computes; the forms that TensorRT 8.5 reads."""

import functools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sanp_export.exporter import export
from sanp_export.graph.model_file import is_sealed, layers_of, to_graph
from sanp_export.passes.tensorrt.half_precision import half_precision
from sanp_export.passes.tensorrt.lower_opset import lower_opset
from sanp_export.passes.tensorrt.mask_inputs import mask_inputs
from sanp_export.passes.tensorrt.native_gating import native_convs, native_gates
from sanp_export.passes.tensorrt.one_layer_nodes import one_layer_nodes
from sanp_export.passes.tensorrt.plain_names import plain_names
from sanp_export.passes.tensorrt.plugin_nodes import plugin_nodes
from sanp_export.tensorrt import TensorrtOptions, convert
from sanp_runtime.validate.tolerance import relative_tolerance
from sanp_targets.errors import ExportError
from tests.export.test_passes import Tricky
from tests.support import exported_nets as nets
from tests.support.tensorrt_oracle import executable

IMAGE = nets.IMAGE


@pytest.fixture(scope="module", params=list(nets.NETS))
def graphs(request):
    return nets.compiled(request.param)[1]


def random_masks(model, density, seed):
    """mask.<layer> [N, Co] of zeros and ones for every gated layer, a different row per sample."""
    rng = np.random.default_rng(seed)
    rows = [row for row in layers_of(model) if row.gated]
    return {f"mask.{row.name}": (rng.random((len(IMAGE), row.c_out)) < density).astype(np.float32) for row in rows}


def run(model, masks):
    session = ort.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    feeds = {"input": IMAGE.numpy(), **masks}
    return dict(zip(names, session.run(names, feeds)))


def choices(model):
    """Everything in the plugin, nothing, and every second layer."""
    names = [row.name for row in layers_of(model) if row.gated]
    return [None, frozenset(), frozenset(names[::2])]


def test_fp32_copies_equal_the_originals(graphs):
    for name, model in graphs.items():
        for seed, layers in enumerate(choices(model)):
            masks = {} if name == "dense" else random_masks(model, 0.7, seed)
            if name == "replay":
                masks = {key: mask * np.float32(1.3) for key, mask in masks.items()}
            expected = run(model, masks)
            found = run(executable(convert(model, TensorrtOptions("fp32", layers))), masks)
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                atol = 2e-5 * np.abs(value).max()
                np.testing.assert_allclose(found[key], value, rtol=2e-5, atol=atol, err_msg=f"{name} {layers} {key}")


def test_fp16_copies_are_within_the_tolerance(graphs):
    """With scales replayed no decision can flip; the tolerance is the one that validation uses."""
    for name in ("replay", "dense"):
        model = graphs[name]
        tolerance = relative_tolerance(layers_of(model), "fp16")
        for seed, layers in enumerate(choices(model)):
            masks = {} if name == "dense" else random_masks(model, 0.7, seed)
            expected = run(model, masks)["logits"]
            copy = convert(model, TensorrtOptions("fp16", layers))
            found = run(executable(copy), masks)["logits"]
            share = np.abs(found - expected).max(1) / (tolerance * np.abs(expected).max(1))
            assert (share < 1).all(), f"{name} {layers}: {share}"
            assert found.dtype == np.float32 and (found != expected).any(), "half precision must leave a trace"


def test_fp16_gates_decide_in_single_precision(graphs):
    """Types at every plugin: x, w, residual in half; scales, masks and saliency weights in float32."""
    for layers in (None, frozenset()):
        copy = onnx.shape_inference.infer_shapes(executable(convert(graphs["gated"], TensorrtOptions("fp16", layers))))
        types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*copy.graph.value_info, *copy.graph.input, *copy.graph.output)
        }
        types.update({tensor.name: tensor.data_type for tensor in copy.graph.initializer})
        for node in copy.graph.node:
            half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
            if node.op_type == "SanpGatedConv":
                assert [types[name] for name in node.input] == [half, half, single, single, single, half]
            if node.op_type == "SanpChannelGate":
                assert types[node.input[0]] in (half, single) and {types[name] for name in node.input[1:]} == {single}
            if "/gate/" in node.name and node.op_type in ("MatMul", "Add"):
                assert {types[name] for name in node.input} == {single}
        assert sum(
            types[n] == half for node in copy.graph.node if node.op_type.endswith("Conv") for n in node.input[:1]
        )


def test_forms_that_the_oldest_parser_reads(graphs):
    for name, model in graphs.items():
        for precision in ("fp32", "fp16"):
            copy = convert(model, TensorrtOptions(precision))
            assert next((item.domain, item.version) for item in copy.opset_import) == ("", 17)
            assert copy.ir_version == 8 and not copy.functions and is_sealed(copy)
            initializers = {tensor.name for tensor in copy.graph.initializer}
            assert not initializers & {value.name for value in copy.graph.input}
            assert len({node.name for node in copy.graph.node}) == len(copy.graph.node)
            for node in copy.graph.node:
                attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
                assert all(node.input) and all(c.isalnum() or c in "_./-" for c in node.name)
                if node.domain == "sanp":
                    assert attributes["plugin_version"] == b"1" and attributes["plugin_namespace"] == b""
                if node.op_type == "ReduceMean":
                    assert len(node.input) == 1 and attributes["axes"]
                assert not (node.op_type == "Shape" and attributes), "8.5 ignores start and end"
            masks = [value for value in copy.graph.input if value.name.startswith("mask.")]
            assert bool(masks) == (name != "dense")
            assert {value.type.tensor_type.elem_type for value in copy.graph.input} == {onnx.TensorProto.FLOAT}


def test_without_plugins_only_standard_operators_remain(graphs):
    for precision in ("fp32", "fp16"):
        copy = convert(graphs["gated"], TensorrtOptions(precision, frozenset()))
        assert {node.domain for node in copy.graph.node} == {""} and len(copy.opset_import) == 1


def test_a_second_run_changes_nothing(graphs):
    for layers in (frozenset(), frozenset(row.name for row in layers_of(graphs["gated"]) if row.gated)):
        graph = to_graph(graphs["gated"])
        convs = functools.partial(native_convs, plugin_layers=layers)
        steps = (mask_inputs, lower_opset, half_precision, convs, plugin_nodes, plain_names)
        for step in steps if layers else (*steps, native_gates):
            step(graph)
            graph.cleanup(remove_unused_graph_inputs=False).toposort()
            assert step(graph) == 0


def test_branches_between_gated_layers():
    """Additions, products, a second reader and a concatenation of maps that our kernels do not compute."""
    torch.manual_seed(3)
    model = export(Tricky().eval(), IMAGE)
    for seed, layers in enumerate(choices(model)):
        masks = random_masks(model, 0.7, seed)
        expected = run(model, masks)["logits"]
        for precision, share in (("fp32", 1e-5), ("fp16", relative_tolerance(layers_of(model), "fp16"))):
            found = run(executable(convert(model, TensorrtOptions(precision, layers))), masks)["logits"]
            assert np.abs(found - expected).max() <= share * np.abs(expected).max(), (precision, layers)


def small(*nodes, constants=(), shape=("N", 2, 4, 4), kind=onnx.TensorProto.FLOAT):
    inputs = [onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 2, 4, 4])]
    outputs = [onnx.helper.make_tensor_value_info("logits", kind, list(shape))]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants]
    graph = onnx.helper.make_graph(list(nodes), "small", inputs, outputs, tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)


def node(op, inputs, **attributes):
    return onnx.helper.make_node(op, inputs, ["logits"], op, **attributes)


@pytest.mark.parametrize(
    ("made", "shape", "checks"),
    [
        (node("ReduceMax", ["input", "axes"], keepdims=0), ("N", 2), ("axes", [2, 3])),
        (node("Shape", ["input"], start=0, end=1), (1,), ("axis", 0)),
        (
            node("AveragePool", ["input"], kernel_shape=[2, 2], dilations=[1, 1]),
            ("N", 2, 3, 3),
            ("kernel_shape", [2, 2]),
        ),
        (node("Cast", ["input"], to=1, saturate=1), ("N", 2, 4, 4), ("to", 1)),
    ],
    ids=["reduce", "shape", "pool", "cast"],
)
def test_newer_forms_are_lowered_and_mean_the_same(made, shape, checks):
    kind = onnx.TensorProto.INT64 if made.op_type == "Shape" else onnx.TensorProto.FLOAT
    model = small(made, constants=[("axes", np.array([2, 3], np.int64))], shape=shape, kind=kind)
    copy = convert(model)
    last = copy.graph.node[-1]
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in last.attribute}
    assert attributes[checks[0]] == checks[1]
    x = {"input": np.random.default_rng(0).random((3, 2, 4, 4), np.float32)}
    before, after = (ort.InferenceSession(m.SerializeToString()).run(None, x)[0] for m in (model, copy))
    np.testing.assert_allclose(before, after, rtol=1e-6)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (node("AffineGrid", ["input"]), "AffineGrid does not exist in opset 17"),
        (node("AveragePool", ["input"], kernel_shape=[2, 2], dilations=[2, 2]), "newer than opset 17"),
        (node("ReduceMean", ["input", "computed"]), "computed at run time"),
    ],
)
def test_what_cannot_be_lowered_is_an_error(made, message):
    nodes = [made]
    if "computed" in made.input:
        nodes.insert(0, onnx.helper.make_node("Shape", ["input"], ["computed"], "computed"))
    with pytest.raises(ExportError, match=message):
        convert(small(*nodes))


def test_a_weight_beyond_half_is_an_error():
    model = small(node("Mul", ["input", "factor"]), constants=[("factor", np.full((1, 2, 1, 1), 1e5, np.float32))])
    with pytest.raises(ExportError, match="65504"):
        convert(model, TensorrtOptions("fp16"))


@pytest.mark.parametrize(
    ("made", "constants", "shape", "ops"),
    [
        (
            node("Gemm", ["rows", "b", "c"], transB=1),
            {"b": (3, 32), "c": (3,)},
            ("N", 3),
            ["MatMul", "Add"],
        ),
        (
            node("Gemm", ["rows", "b", "c"], alpha=0.5, beta=2.0),
            {"b": (32, 3), "c": (1, 3)},
            ("N", 3),
            ["MatMul", "Add"],
        ),
        (node("Gemm", ["rows", "b"], alpha=-1.5), {"b": (32, 3)}, ("N", 3), ["MatMul"]),
        (node("Gemm", ["b", "rows"], transA=1, transB=1), {"b": (32, 3)}, (3, "N"), ["Transpose", "MatMul"]),
        (node("LogSoftmax", ["rows"], axis=1), {}, ("N", 32), ["Softmax", "Log"]),
        (node("ReduceL1", ["input", "axes"], keepdims=0), {}, ("N", 2), ["Abs", "ReduceSum"]),
        (node("ReduceL2", ["input", "axes"], keepdims=1), {}, ("N", 2, 1, 1), ["Mul", "ReduceSum", "Sqrt"]),
        (node("ReduceSumSquare", ["input", "axes"], keepdims=0), {}, ("N", 2), ["Mul", "ReduceSum"]),
        (node("ReduceLogSum", ["input", "axes"], keepdims=0), {}, ("N", 2), ["ReduceSum", "Log"]),
        (node("ReduceLogSumExp", ["input", "axes"], keepdims=0), {}, ("N", 2), ["Exp", "ReduceSum", "Log"]),
    ],
    ids=["bias", "numbers", "no-bias", "left", "log-softmax", "l1", "l2", "sum-square", "log-sum", "log-sum-exp"],
)
def test_each_layer_of_the_parser_has_a_node(made, constants, shape, ops):
    """The parser names one layer of these; what is not named cannot be kept in float32 by TensorRT 8."""
    rng = np.random.default_rng(3)
    values = [("axes", np.array([2, 3], np.int64)), ("sizes", np.array([-1, 32], np.int64))]
    values += [(name, rng.standard_normal(size).astype(np.float32)) for name, size in constants.items()]
    flat = onnx.helper.make_node("Reshape", ["input", "sizes"], ["rows"], "flat")
    model = onnx.shape_inference.infer_shapes(small(flat, made, constants=values, shape=shape))
    copy = convert(model)
    rows = [item for item in copy.graph.node if item.op_type != "Reshape"]
    assert [item.op_type for item in rows] == ops and made.op_type in {item.name for item in rows}
    x = {"input": rng.random((3, 2, 4, 4), np.float32)}
    before, after = (ort.InferenceSession(m.SerializeToString()).run(None, x)[0] for m in (model, copy))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    graph = to_graph(copy)
    assert one_layer_nodes(graph) == 0


@pytest.mark.parametrize(
    "made",
    [
        node("Gelu", ["input"]),
        node("Gelu", ["input"], approximate="tanh"),
        node("Mish", ["input"]),
        node("Celu", ["input"]),
        node("Celu", ["input"], alpha=0.3),
    ],
    ids=["gelu", "gelu-tanh", "mish", "celu", "celu-alpha"],
)
def test_activations_that_tensorrt_lacks_are_composed(made):
    """In float32 the same values; in half within its rounding, also where an intermediate value overflows."""
    rng = np.random.default_rng(5)
    x = {"input": (rng.standard_normal((3, 2, 4, 4)) * 3).astype(np.float32)}
    x["input"].reshape(-1)[:4] = (300.0, -300.0, 20.0, -20.0)
    model = onnx.shape_inference.infer_shapes(small(made))
    expected = ort.InferenceSession(model.SerializeToString()).run(None, x)[0]
    for precision, rtol, atol in (("fp32", 1e-5, 1e-6), ("fp16", 4e-3, 4e-3)):
        copy = convert(model, TensorrtOptions(precision))
        assert not {item.op_type for item in copy.graph.node} & {"Gelu", "Mish", "Celu"}
        found = ort.InferenceSession(copy.SerializeToString()).run(None, x)[0]
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=precision)
