"""The two operators as model-local functions of standard ONNX operators: portable fallback and test oracle.

docs/operators.md is the contract. A registered kernel of the same domain and name takes precedence over the function
(checked on ONNX Runtime 1.17 to 1.31); without the library the body runs.
"""

from __future__ import annotations

import onnx
from onnx import parser

DOMAIN_VERSION = 1
OPSET = 20

# Clip bounds as attributes, not a string: a function body cannot branch on an attribute without `If`.
_GATED_CONV = """
<opset_import: ["" : 20], domain: "sanp",
 doc_string: "y = clamp(scale * conv(x, w) + shift + residual); a channel with scale 0 need not be computed">
SanpGatedConv <strides, pads, dilations, group, act_min, act_max>
    (x, w, scale, shift, in_active, residual) => (y) {
  hw = Constant <value_ints: ints = [2, 3]> ()
  low = Constant <value_float: float = @act_min> ()
  high = Constant <value_float: float = @act_max> ()
  scale_4d = Unsqueeze (scale, hw)
  shift_4d = Unsqueeze (shift, hw)
  conv = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group> (x, w)
  scaled = Mul (conv, scale_4d)
  shifted = Add (scaled, shift_4d)
  summed = Add (shifted, residual)
  y = Clip (summed, low, high)
}
"""

_CHANNEL_GATE = """
<opset_import: ["" : 20], domain: "sanp", doc_string: "saliency and pruning module: pool, FC, ReLU, FC, ReLU, gate">
SanpChannelGate <threshold, k> (x, w1, b1, w2, b2, bias, mask) => (scale, shift) {
  hw = Constant <value_ints: ints = [2, 3]> ()
  z = ReduceMean <keepdims = 0> (x, hw)
  squeezed = Gemm <transB = 1> (z, w1, b1)
  hidden = Relu (squeezed)
  u = Gemm <transB = 1> (hidden, w2, b2)
  s = Relu (u)
  level = Constant <value_float: float = @threshold> ()
%s
  gate = CastLike (open, s)
  gated = Mul (s, gate)
  scale = Mul (gated, mask)
  shift = Mul (scale, bias)
}
"""

_THRESHOLD = "  open = Greater (s, level)"

# Keep strictly more than the k+1-th largest saliency: ties close, so never more than k channels stay open.
_TOP_K = """  k_attr = Constant <value_int: int = @k> ()
  one = Constant <value_ints: ints = [1]> ()
  k_next = Add (k_attr, one)
  largest, index = TopK <axis = 1> (s, k_next)
  k_list = Reshape (k_attr, one)
  rank_next = Gather <axis = 1> (largest, k_list)
  bound = Max (rank_next, level)
  open = Greater (s, bound)"""


def gated_conv_function() -> onnx.FunctionProto:
    """Body of `SanpGatedConv`; it ignores `in_active`, which is a promise about `x` and not an operand."""
    return parser.parse_function(_GATED_CONV)


def channel_gate_function(top_k: bool = False) -> onnx.FunctionProto:
    """Body of `SanpChannelGate` for the threshold rule (k = 0) or, with `top_k`, for nodes with 0 < k < Co.

    One file holds one of the two bodies: gates of both kinds cannot share a model.
    """
    return parser.parse_function(_CHANNEL_GATE % (_TOP_K if top_k else _THRESHOLD))
