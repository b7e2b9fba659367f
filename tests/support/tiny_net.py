"""A three-layer gated network with a residual, written by hand: NumPy reference and the four variants as ONNX.

It shares nothing with the exporter, so that the two check each other. The functions are copies of docs/operators.md.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Gate, any_of

C, H, W, WIDTH, HIDDEN, CLASSES = 3, 8, 8, 8, 4, 5
THRESHOLD = 0.25
GATED = ("stem", "block.a", "block.b")
SOURCE = {"stem": "input", "block.a": "y.stem", "block.b": "y.block.a"}
LAYERS = (
    Layer("stem", C, WIDTH, (H, W), (3, 3), gated=True, gate_hidden=HIDDEN, support=Dense(C)),
    Layer("block.a", WIDTH, WIDTH, (H, W), (3, 3), gated=True, gate_hidden=HIDDEN, support=Gate("stem")),
    Layer("block.b", WIDTH, WIDTH, (H, W), (3, 3), gated=True, gate_hidden=HIDDEN, support=Gate("block.a")),
    Layer("head", WIDTH, CLASSES, (1, 1), head=True, support=any_of([Gate("stem"), Gate("block.b")])),
)

GATED_CONV = """
<opset_import: ["" : 20], domain: "sanp">
SanpGatedConv <strides, pads, dilations, group, act_min, act_max> (x, w, scale, shift, in_active, residual) => (y) {
  c = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group> (x, w)
  hw = Constant <value_ints: ints = [2, 3]> ()
  a = Unsqueeze (scale, hw)
  b = Unsqueeze (shift, hw)
  ca = Mul (c, a)
  z = Add (ca, b)
  r = Add (z, residual)
  lo = Constant <value_float: float = @act_min> ()
  hi = Constant <value_float: float = @act_max> ()
  y = Clip (r, lo, hi)
}"""

CHANNEL_GATE = """
<opset_import: ["" : 20], domain: "sanp">
SanpChannelGate <threshold, k> (x, w1, b1, w2, b2, bias, mask) => (scale, shift) {
  hw = Constant <value_ints: ints = [2, 3]> ()
  z = ReduceMean <keepdims = 0> (x, hw)
  h0 = Gemm <transB = 1> (z, w1, b1)
  h = Relu (h0)
  u = Gemm <transB = 1> (h, w2, b2)
  s = Relu (u)
  t = Constant <value_float: float = @threshold> ()
  open = Greater (s, t)
  gate = CastLike (open, s)
  sg = Mul (s, gate)
  scale = Mul (sg, mask)
  shift = Mul (scale, bias)
}"""


# The same with the threshold as an input.
DIAL_GATE = CHANNEL_GATE.replace("bias, mask)", "bias, mask, threshold)").replace(
    "t = Constant <value_float: float = @threshold> ()", "t = Identity (threshold)"
)


def weights(seed: int = 3) -> dict[str, np.ndarray]:
    """Weights by name, about half of the gates open."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    result = {"head.weight": draw(CLASSES, WIDTH), "head.bias": draw(CLASSES)}
    for layer in LAYERS[:3]:
        fan_in = layer.c_in * 9
        result[f"{layer.name}.weight"] = draw(layer.c_out, layer.c_in, 3, 3) * np.float32((2 / fan_in) ** 0.5)
        result[f"{layer.name}.bias"] = draw(layer.c_out) * np.float32(0.2)
        result[f"{layer.name}.gate.w1"] = draw(HIDDEN, layer.c_in)
        result[f"{layer.name}.gate.b1"] = np.abs(draw(HIDDEN))
        result[f"{layer.name}.gate.w2"] = draw(layer.c_out, HIDDEN)
        result[f"{layer.name}.gate.b2"] = draw(layer.c_out)
    return result


def samples(n: int = 6, seed: int = 1) -> np.ndarray:
    """Inputs float32 [n, 3, 8, 8] whose means differ, so that gates depend on the sample."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, C, H, W)) + rng.standard_normal((n, C, 1, 1))).astype(np.float32)


def _conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("nihwkl,oikl->nohw", windows, w).astype(np.float32)


def reference(
    weight: dict[str, np.ndarray],
    x: np.ndarray,
    scales: dict[str, np.ndarray] | None = None,
    thresholds: dict[str, float] | None = None,
) -> dict:
    """NumPy forward pass: logits, scale/<layer>, saliency/<layer>; given `scales` replace the learned gates."""
    result: dict[str, np.ndarray] = {}
    tensors = {"input": x}
    for layer in GATED:
        data = tensors[SOURCE[layer]]
        hidden = np.maximum(data.mean((2, 3)) @ weight[f"{layer}.gate.w1"].T + weight[f"{layer}.gate.b1"], 0)
        u = (hidden @ weight[f"{layer}.gate.w2"].T + weight[f"{layer}.gate.b2"]).astype(np.float32)
        s = np.maximum(u, 0)
        level = THRESHOLD if thresholds is None else thresholds[layer]
        scale = (s * (s > level)).astype(np.float32) if scales is None else scales[layer]
        y = scale[..., None, None] * (_conv(data, weight[f"{layer}.weight"]) + weight[f"{layer}.bias"][:, None, None])
        y = y + tensors["y.stem"] if layer == "block.b" else y
        tensors[f"y.{layer}"] = np.maximum(y, 0).astype(np.float32)
        result[f"scale/{layer}"], result[f"saliency/{layer}"] = scale, u
    pooled = tensors["y.block.b"].mean((2, 3))
    result["logits"] = (pooled @ weight["head.weight"].T + weight["head.bias"]).astype(np.float32)
    return result


def _value(name: str, *shape: object) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _gate_nodes(kind: str, layer: str, weight: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    scale, shift, mask = f"gate.{layer}", f"{layer}.shift", f"mask.{layer}"
    if kind == "replay":
        return [
            helper.make_node("Identity", [mask], [scale], f"{layer}/gate/scale"),
            helper.make_node("Mul", [scale, f"{layer}.bias"], [shift], f"{layer}/gate/shift"),
        ]
    suffix = "open_" if kind == "open" else ""
    parts = [f"{layer}.gate.{part}" for part in ("w1", "b1", f"{suffix}w2", f"{suffix}b2")]
    if kind == "open":
        weight[parts[2]] = np.zeros_like(weight[f"{layer}.gate.w2"])
        weight[parts[3]] = np.ones_like(weight[f"{layer}.gate.b2"])
    inputs = [SOURCE[layer], *parts, f"{layer}.bias", mask, *([f"threshold.{layer}"] if kind == "dial" else [])]
    return [
        helper.make_node(
            "SanpChannelGate", inputs, [scale, shift], f"{layer}/gate", domain="sanp", threshold=THRESHOLD, k=0
        )
    ]


def _layer_nodes(kind: str, layer: str, weight: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    x, y, w = SOURCE[layer], f"y.{layer}", f"{layer}.weight"
    geometry = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}
    if kind == "dense":
        outputs = ["sum.block.b", "pre.block.b"] if layer == "block.b" else ["", f"pre.{layer}"]
        nodes = [helper.make_node("Conv", [x, w, f"{layer}.bias"], [outputs[1]], f"{layer}/conv", **geometry)]
        if outputs[0]:
            nodes.append(helper.make_node("Add", [outputs[1], "y.stem"], [outputs[0]], f"{layer}/add"))
        return [*nodes, helper.make_node("Relu", [outputs[0] or outputs[1]], [y], f"{layer}/act")]
    active = {"stem": "all_active", "block.a": "gate.stem", "block.b": "gate.block.a"}[layer]
    residual = "y.stem" if layer == "block.b" else "no_residual"
    inputs = [x, w, f"gate.{layer}", f"{layer}.shift", active, residual]
    bounds = {"act_min": 0.0, "act_max": float("inf")}
    conv = helper.make_node("SanpGatedConv", inputs, [y], f"{layer}/conv", domain="sanp", **geometry, **bounds)
    return [*_gate_nodes(kind, layer, weight), conv]


def build_graph(kind: str, weight: dict[str, np.ndarray]) -> onnx.ModelProto:
    """One of the four variants of a bundle, as a model with functions and embedded weights.

    kind "dial": the variant gated with its thresholds as inputs.
    """
    weight = dict(weight, all_active=np.ones((1, C), np.float32), no_residual=np.zeros(1, np.float32))
    nodes = [node for layer in GATED for node in _layer_nodes(kind, layer, weight)]
    nodes += [
        helper.make_node("ReduceMean", ["y.block.b", "axes"], ["pooled"], "pool", keepdims=0),
        helper.make_node("Gemm", ["pooled", "head.weight", "head.bias"], ["logits"], "head", transB=1),
    ]
    inputs, outputs = [_value("input", "N", C, H, W)], [_value("logits", "N", CLASSES)]
    functions, opsets = [], [helper.make_opsetid("", 20)]
    if kind != "dense":
        weight.update({f"mask.{layer}": np.ones((1, WIDTH), np.float32) for layer in GATED})
        inputs += [_value(f"mask.{layer}", f"mask.{layer}.N", WIDTH) for layer in GATED]
        outputs += [_value(f"gate.{layer}", f"mask.{layer}.N" if kind == "replay" else "N", WIDTH) for layer in GATED]
        functions = [parser.parse_function(GATED_CONV)]
        functions += [parser.parse_function(DIAL_GATE if kind == "dial" else CHANNEL_GATE)] if kind != "replay" else []
        opsets.append(helper.make_opsetid("sanp", 2 if kind == "dial" else 1))
    if kind == "dial":
        weight.update({f"threshold.{layer}": np.array([THRESHOLD], np.float32) for layer in GATED})
        inputs += [_value(f"threshold.{layer}", 1) for layer in GATED]
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(value, name) for name, value in sorted(weight.items()) if name in used]
    initializers.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    graph = helper.make_graph(nodes, kind, inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)


def external(model: onnx.ModelProto, offsets: dict[bytes, int], blob: bytearray) -> bytes:
    """Serialised model whose convolution weights live in weights.bin; `blob` collects that file."""
    for tensor in model.graph.initializer:
        if not tensor.name.endswith(".weight"):
            continue
        raw = numpy_helper.to_array(tensor).tobytes()
        if raw not in offsets:
            offsets[raw] = len(blob)
            blob.extend(raw)
        onnx.external_data_helper.set_external_data(tensor, "weights.bin", offsets[raw], len(raw))
        tensor.ClearField("raw_data")
    return model.SerializeToString(deterministic=True)
