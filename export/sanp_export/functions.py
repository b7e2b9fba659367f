"""The operators as model-local functions of standard ONNX operators: portable fallback and test oracle.

docs/operators.md is the contract. A registered kernel of the same domain and name takes precedence over the function
(checked on ONNX Runtime 1.17 to 1.31); without the library the body runs.
"""

from __future__ import annotations

import onnx
from onnx import parser

DOMAIN_VERSION = 1
DIAL_VERSION = 2  # of a file whose gates have their threshold as an input
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

# Step for step what the three gated convolutions compute that it takes the place of, so that rounding is theirs too.
_INVERTED_RESIDUAL = """
<opset_import: ["" : 20], domain: "sanp",
 doc_string: "expansion, depthwise convolution and projection; a channel between them whose scale is 0 need not be
 computed">
SanpInvertedResidual <strides, pads, dilations, group, expand_min, expand_max, depthwise_min, depthwise_max, act_min,
                      act_max>
    (x, w_expand, scale, shift, in_active, w_depthwise, bias, w_project, scale_project, shift_project, residual)
    => (y) {
  hw = Constant <value_ints: ints = [2, 3]> ()
  expand_low = Constant <value_float: float = @expand_min> ()
  expand_high = Constant <value_float: float = @expand_max> ()
  depthwise_low = Constant <value_float: float = @depthwise_min> ()
  depthwise_high = Constant <value_float: float = @depthwise_max> ()
  low = Constant <value_float: float = @act_min> ()
  high = Constant <value_float: float = @act_max> ()
  scale_4d = Unsqueeze (scale, hw)
  shift_4d = Unsqueeze (shift, hw)
  expand_conv = Conv (x, w_expand)
  expand_scaled = Mul (expand_conv, scale_4d)
  expand_shifted = Add (expand_scaled, shift_4d)
  expanded = Clip (expand_shifted, expand_low, expand_high)
  open = Sign (scale)
  open_bias = Mul (open, bias)
  open_4d = Unsqueeze (open, hw)
  bias_4d = Unsqueeze (open_bias, hw)
  depthwise_conv = Conv
    <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
    (expanded, w_depthwise)
  depthwise_scaled = Mul (depthwise_conv, open_4d)
  depthwise_shifted = Add (depthwise_scaled, bias_4d)
  filtered = Clip (depthwise_shifted, depthwise_low, depthwise_high)
  scale_project_4d = Unsqueeze (scale_project, hw)
  shift_project_4d = Unsqueeze (shift_project, hw)
  project_conv = Conv (filtered, w_project)
  project_scaled = Mul (project_conv, scale_project_4d)
  project_shifted = Add (project_scaled, shift_project_4d)
  summed = Add (project_shifted, residual)
  y = Clip (summed, low, high)
}
"""

# Names as in ONNX's QLinearConv. Sums are float32 here and integers in the kernels: every byte is equal or one apart.
_GATED_QLINEAR_CONV = """
<opset_import: ["" : 20], domain: "sanp",
 doc_string: "SanpGatedConv of bytes: quantise(clamp(scale * conv(x, w) + shift + residual)), activations per tensor,
 weights per output channel and symmetric">
SanpGatedQLinearConv <strides, pads, dilations, group, act_min, act_max>
    (x, x_scale, x_zero_point, w, w_scale, scale, shift, in_active, residual, residual_scale, residual_zero_point,
     y_scale, y_zero_point) => (y) {
  hw = Constant <value_ints: ints = [2, 3]> ()
  low = Constant <value_float: float = @act_min> ()
  high = Constant <value_float: float = @act_max> ()
  scale_4d = Unsqueeze (scale, hw)
  shift_4d = Unsqueeze (shift, hw)
  x_real = DequantizeLinear (x, x_scale, x_zero_point)
  w_real = DequantizeLinear <axis = 0> (w, w_scale)
  residual_real = DequantizeLinear (residual, residual_scale, residual_zero_point)
  conv = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
    (x_real, w_real)
  scaled = Mul (conv, scale_4d)
  shifted = Add (scaled, shift_4d)
  summed = Add (shifted, residual_real)
  clipped = Clip (summed, low, high)
  y = QuantizeLinear (clipped, y_scale, y_zero_point)
}
"""

# ONNX Runtime pools bytes one by one, at 10 to 20 times the time of a vector.
_MAX_POOL = """
<opset_import: ["" : 20], domain: "sanp", doc_string: "MaxPool of bytes">
SanpMaxPool <kernel_shape, strides, pads> (x) => (y) {
  y = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads> (x)
}
"""

_CHANNEL_GATE = """
<opset_import: ["" : 20], domain: "sanp", doc_string: "saliency and pruning module: pool, FC, ReLU, FC, ReLU, gate">
%s => (scale, shift) {
  hw = Constant <value_ints: ints = [2, 3]> ()
%s
%s
  s = Relu (u)
%s
%s
  gate = CastLike (open, s)
  gated = Mul (s, gate)
  scale = Mul (gated, mask)
%s
}
"""

_FLOAT_MEANS = (
    "SanpChannelGate <threshold, k> (x, w1, b1, w2, b2, bias, mask%s)",
    "  z = ReduceMean <keepdims = 0> (x, hw)",
)

# The mean of bytes is an exact sum, times the step over the pixels: the same float32 here and in the kernels.
_BYTE_MEANS = (
    "SanpQLinearChannelGate <threshold, k> (x, x_scale, x_zero_point, w1, b1, w2, b2, bias, mask%s)",
    """  wide = Cast <to = 6> (x)
  zero = Cast <to = 6> (x_zero_point)
  from_zero = Sub (wide, zero)
  total = ReduceSum <keepdims = 0> (from_zero, hw)
  real = CastLike (total, x_scale)
  size = Shape <start = 2, end = 4> (x)
  pixels = ReduceProd <keepdims = 0> (size)
  count = CastLike (pixels, x_scale)
  mean_step = Div (x_scale, count)
  z = Mul (real, mean_step)""",
)

_HIDDEN_LAYER = """  squeezed = Gemm <transB = 1> (z, w1, b1)
  hidden = Relu (squeezed)
  u = Gemm <transB = 1> (hidden, w2, b2)"""

_NO_HIDDEN_LAYER = "  u = Gemm <transB = 1> (z, w2, b2)"

_OWN_LEVEL = "  level = Constant <value_float: float = @threshold> ()"

# The input has the name of the attribute, whose place it takes.
_GIVEN_LEVEL = "  level = Identity (threshold)"

_THRESHOLD = "  open = Greater (s, level)"

# Keep strictly more than the k+1-th largest saliency: ties close, so never more than k channels stay open. With k = 0
# the rank is multiplied by zero and the threshold alone decides: one body serves layers with and without a limit.
_TOP_K = """  k_attr = Constant <value_int: int = @k> ()
  one = Constant <value_ints: ints = [1]> ()
  k_next = Add (k_attr, one)
  largest, index = TopK <axis = 1> (s, k_next)
  k_list = Reshape (k_attr, one)
  rank_next = Gather <axis = 1> (largest, k_list)
  limited = Min (k_list, one)
  factor = CastLike (limited, s)
  rank = Mul (rank_next, factor)
  bound = Max (rank, level)
  open = Greater (s, bound)"""

_SHIFT = "  shift = Mul (scale, bias)"

# The second row of the bias is added where the gate is open, whatever the scale: scales are never negative.
_SHIFT_WITH_OFFSET = """  first = Constant <value_ints: ints = [0]> ()
  second = Constant <value_ints: ints = [1]> ()
  inside = Gather <axis = 0> (bias, first)
  outside = Gather <axis = 0> (bias, second)
  scaled = Mul (scale, inside)
  code = Sign (scale)
  offset = Mul (code, outside)
  shift = Add (scaled, offset)"""


# The short path and the whole convolution everywhere: skipping is a kernel's business.
_PIXEL_GATED_CONV = """
<opset_import: ["" : 20], domain: "sanp",
 doc_string: "y = scale * (conv(x, w) where the short path exceeds its bound, else the short path) + shift">
SanpPixelGatedConv <strides, pads, dilations, parts> (x, w, w_base, bound, scale, shift) => (y) {
  hw = Constant <value_ints: ints = [1, 2]> ()
  base = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @parts>
    (x, w_base)
  whole = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations> (x, w)
  bound_3d = Unsqueeze (bound, hw)
  open = Greater (base, bound_3d)
  chosen = Where (open, whole, base)
  scale_3d = Unsqueeze (scale, hw)
  shift_3d = Unsqueeze (shift, hw)
  scaled = Mul (chosen, scale_3d)
  y = Add (scaled, shift_3d)
}
"""


def pixel_gated_conv_function() -> onnx.FunctionProto:
    """Body of `SanpPixelGatedConv`."""
    return parser.parse_function(_PIXEL_GATED_CONV)


def gated_qlinear_conv_function() -> onnx.FunctionProto:
    """Body of `SanpGatedQLinearConv`."""
    return parser.parse_function(_GATED_QLINEAR_CONV)


def inverted_residual_function() -> onnx.FunctionProto:
    """Body of `SanpInvertedResidual`; it ignores `in_active`, which is a promise about `x` and not an operand."""
    return parser.parse_function(_INVERTED_RESIDUAL)


def max_pool_function() -> onnx.FunctionProto:
    """Body of `SanpMaxPool`."""
    return parser.parse_function(_MAX_POOL)


def gated_conv_function() -> onnx.FunctionProto:
    """Body of `SanpGatedConv`; it ignores `in_active`, which is a promise about `x` and not an operand."""
    return parser.parse_function(_GATED_CONV)


def channel_gate_function(
    top_k: bool = False, hidden: bool = True, offset: bool = False, quantised: bool = False, dial: bool = False
) -> onnx.FunctionProto:
    """Body of `SanpChannelGate`: for nodes with k = 0 or, with `top_k`, for any k; with or without a hidden layer; with
    a bias [Co] or, with `offset`, [2, Co]. quantised: that of `SanpQLinearChannelGate`, whose x are bytes. dial: for
    nodes that have the input `threshold`.

    A body can branch neither on a rank nor on an absent input, so all gates of a file have one form.
    """
    layers = _HIDDEN_LAYER if hidden else _NO_HIDDEN_LAYER
    level = _GIVEN_LEVEL if dial else _OWN_LEVEL
    rule = _TOP_K if top_k else _THRESHOLD
    head, means = _BYTE_MEANS if quantised else _FLOAT_MEANS
    shift = _SHIFT_WITH_OFFSET if offset else _SHIFT
    name = head % (", threshold" if dial else "")
    return parser.parse_function(_CHANNEL_GATE % (name, means, layers, level, rule, shift))
