"""PyTorch's modules, functions and methods by what the support algebra does with them."""

from __future__ import annotations

import builtins
import operator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

# f(0) = 0 on every machine, or a move of values inside a channel.
ZERO_MODULES = (
    nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Tanh, nn.Softsign,
    nn.Tanhshrink, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip
ZERO_CALLS: tuple[Any, ...] = (
    torch.tanh, torch.erf, torch.sqrt, torch.sin, torch.tan, torch.asin, torch.atan, torch.sinh, torch.asinh,
    torch.atanh,
    torch.selu, torch.celu, torch.celu_, torch.prelu, torch.square, F.elu_,
    F.leaky_relu, F.prelu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish, F.tanh, F.softsign, F.tanhshrink,
    F.max_pool2d, F.avg_pool2d, F.lp_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
)  # fmt: skip
ZERO_METHODS = (
    "tanh", "erf", "sqrt", "sin", "tan", "asin", "atan", "sinh", "asinh", "atanh", "square",
)  # fmt: skip
ADAPTIVE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
ADAPTIVE_CALLS: tuple[Any, ...] = (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)

# Exact in floating point: the operation itself says what it makes of the value in closed channels.
EXACT_MODULES = (
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardshrink, nn.Softshrink, nn.Threshold, nn.Identity,
    nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
EXACT_CALLS: tuple[Any, ...] = (
    operator.add, operator.iadd, operator.sub, operator.isub, operator.neg, operator.abs, builtins.abs,
    operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne, operator.mod,
    torch.add, torch.sub, torch.subtract, torch.rsub, torch.neg, torch.negative, torch.abs, torch.sign, torch.relu,
    torch.relu_, torch.clamp, torch.clip, torch.clamp_min, torch.clamp_max, torch.maximum, torch.minimum,
    torch.floor, torch.ceil, torch.round, torch.trunc, torch.frac, torch.gt, torch.ge, torch.lt, torch.le,
    torch.eq, torch.ne, torch.remainder,
    F.relu, F.relu_, F.relu6, F.hardtanh, F.hardtanh_, F.threshold, F.hardshrink, F.softshrink,
)  # fmt: skip
EXACT_METHODS = (
    "add", "add_", "sub", "sub_", "neg", "abs", "sign", "relu", "relu_", "clamp", "clamp_", "clip", "clip_",
    "clamp_min", "clamp_max", "maximum", "minimum", "floor", "ceil", "round", "trunc", "frac",
    "gt", "ge", "lt", "le", "eq", "ne", "remainder",
)  # fmt: skip
PRODUCTS: tuple[Any, ...] = (operator.mul, operator.imul, torch.mul, torch.multiply)
PRODUCT_METHODS = ("mul", "mul_", "multiply")
QUOTIENTS: tuple[Any, ...] = (operator.truediv, operator.itruediv, torch.div, torch.true_divide)
QUOTIENT_METHODS = ("div", "div_", "true_divide")

# Values stay as they are; the channels stay on axis 1 exactly when the shapes say so.
SAME_CALLS: tuple[Any, ...] = (F.dropout, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout)
SAME_METHODS = ("contiguous", "clone", "detach", "float", "half", "double", "to", "type", "type_as", "cpu", "cuda")
RESHAPES: tuple[Any, ...] = (torch.flatten, torch.squeeze, torch.unsqueeze, torch.reshape)
RESHAPE_METHODS = ("flatten", "squeeze", "unsqueeze", "view", "reshape", "unflatten")
REDUCTIONS: tuple[Any, ...] = (torch.mean, torch.sum, torch.amax, torch.amin)
REDUCTION_METHODS = ("mean", "sum", "amax", "amin")
# Moves along axes: where the call says which, counted from 0.
MOVES: dict[Any, tuple[int, ...]] = {torch.flip: (1,), torch.roll: (2,), torch.rot90: (2,), torch.transpose: (1, 2)}
MOVE_PLACES = {**MOVES, "flip": (1, 2, 3), "roll": (2,), "rot90": (2,), "transpose": (1, 2), "narrow": (1,)}
MOVE_METHODS = ("flip", "roll", "rot90", "transpose", "narrow")
JOINS: tuple[Any, ...] = (torch.cat, torch.concat, torch.concatenate)
