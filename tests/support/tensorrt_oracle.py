"""What our TensorRT plugins must compute, as ONNX functions written from docs/operators.md: makes a TensorRT copy run
in plain ONNX Runtime. Shares nothing with the exporter's functions or its native forms.
"""

from __future__ import annotations

import onnx
from onnx import parser

# Everything in float32 from operands of any type: tensor cores multiply halves exactly and add in single.
_CONV = """
<opset_import: ["" : 17], domain: "sanp">
SanpGatedConv <strides, pads, dilations, group, act_min, act_max, weight_order, plugin_version, plugin_namespace>
    (x, w, scale, shift, in_active, residual) => (y) {
  x32 = Cast <to = 1> (x)
  w32 = Cast <to = 1> (w)
  r32 = Cast <to = 1> (residual)
  wo = Transpose <perm = [3, 2, 0, 1]> (w32)
  hw = Constant <value_ints = [2, 3]> ()
  active = Unsqueeze (in_active, hw)
  zero = Constant <value_float = 0.0> ()
  alive = Equal (active, zero)
  live = Not (alive)
  keep = Cast <to = 1> (live)
  read = Mul (x32, keep)
  c = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group> (read, wo)
  s = Unsqueeze (scale, hw)
  b = Unsqueeze (shift, hw)
  cs = Mul (c, s)
  z = Add (cs, b)
  zr = Add (z, r32)
  lo = Constant <value_float: float = @act_min> ()
  hi = Constant <value_float: float = @act_max> ()
  y32 = Clip (zr, lo, hi)
  y = CastLike (y32, x)
}"""

_GATE = """
<opset_import: ["" : 17], domain: "sanp">
SanpChannelGate <threshold, k, plugin_version, plugin_namespace> (x, w1, b1, w2, b2, bias, mask) => (scale, shift) {
  x32 = Cast <to = 1> (x)
  z = ReduceMean <axes = [2, 3], keepdims = 0> (x32)
%s
  s = Relu (u)
  level = Constant <value_float: float = @threshold> ()
%s
  gate = Cast <to = 1> (open)
  sg = Mul (s, gate)
  scale = Mul (sg, mask)
%s
}"""

_LAYERS = {
    1: "  u = Gemm <transB = 1> (z, w2, b2)",
    2: """  h0 = Gemm <transB = 1> (z, w1, b1)
  h = Relu (h0)
  u = Gemm <transB = 1> (h, w2, b2)""",
}

_SHIFTS = {
    1: "  shift = Mul (scale, bias)",
    2: """  own, offset = Split <axis = 0> (bias)
  scaled = Mul (scale, own)
  zero = Constant <value_float = 0.0> ()
  is_open = Greater (scale, zero)
  moved = Where (is_open, offset, zero)
  shift = Add (scaled, moved)""",
}

_RULES = {
    False: "  open = Greater (s, level)",
    True: """  k0 = Constant <value_int: int = @k> ()
  one = Constant <value_ints = [1]> ()
  k1 = Add (k0, one)
  top, index = TopK <axis = 1> (s, k1)
  at = Reshape (k0, one)
  rank = Gather <axis = 1> (top, at)
  bound = Max (rank, level)
  open = Greater (s, bound)""",
}


def executable(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a TensorRT copy that ONNX Runtime runs: the plugins are functions, weights in HWIO."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes = [node for node in model.graph.node if node.domain == "sanp"]
    if any(node.op_type == "SanpGatedConv" for node in nodes):
        result.functions.append(parser.parse_function(_CONV))
    gates = [node for node in nodes if node.op_type == "SanpChannelGate"]
    if gates:
        top_k = any(attribute.name == "k" and attribute.i > 0 for node in gates for attribute in node.attribute)
        ranks = {item.name: len(item.dims) for item in model.graph.initializer}
        layers, shift = _LAYERS[ranks[gates[0].input[1]]], _SHIFTS[ranks[gates[0].input[5]]]
        result.functions.append(parser.parse_function(_GATE % (layers, _RULES[top_k], shift)))
    return result
