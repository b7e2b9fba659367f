"""Which channels of each tensor in a traced network can be nonzero: the support algebra, one rule per operation.

An operation without a rule is dense: never wrong, at worst not sparse.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from sanp.tracing.gated_layer import GatedLayer
from sanp.tracing.trace import first_input, shape_of
from sanp_runtime.network.support import Dense, Gate, Support, any_of, concat

# f(0) = 0 per channel, or a move of values inside a channel.
_PASS_MODULES = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Tanh, nn.Softsign,
    nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample, nn.ZeroPad2d,
)  # fmt: skip
_PASS_CALLS: tuple[Any, ...] = (
    torch.relu, torch.relu_, torch.tanh, F.relu, F.relu_, F.relu6, F.leaky_relu, F.prelu, F.elu, F.selu, F.gelu, F.silu,
    F.mish, F.hardswish, F.tanh, F.dropout, F.dropout2d,
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
)  # fmt: skip
_PASS_METHODS = (
    "relu", "relu_", "tanh", "contiguous", "clone", "detach", "float", "half", "double", "to", "type_as", "cpu", "cuda",
)  # fmt: skip
# Channels stay on axis 1 exactly when the shapes say so; see `_keeps_channels`.
_RESHAPES: tuple[Any, ...] = (torch.flatten, torch.squeeze, torch.reshape, torch.mean, torch.sum, torch.amax)
_RESHAPE_METHODS = ("flatten", "squeeze", "view", "reshape", "mean", "sum", "amax")
_SUMS: tuple[Any, ...] = (operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub)
_SUM_METHODS = ("add", "add_", "sub", "sub_")
_PRODUCTS: tuple[Any, ...] = (operator.mul, operator.imul, torch.mul)
_PRODUCT_METHODS = ("mul", "mul_")


def supports(traced: fx.GraphModule) -> dict[Any, Support]:
    """Support of every node whose output is a tensor with a channel axis."""
    table: dict[Any, Support] = {}
    for node in traced.graph.nodes:
        shape = shape_of(node)
        if shape is None or len(shape) < 2:
            continue
        rule = _module_rule if node.op == "call_module" else _call_rule
        found = rule(traced, node, table) if node.op.startswith("call") else None
        table[node] = Dense(shape[1]) if found is None else found
    return table


def _module_rule(traced: fx.GraphModule, node: fx.Node, table: dict[Any, Support]) -> Support | None:
    module = traced.get_submodule(str(node.target))
    if isinstance(module, GatedLayer):
        return Gate(str(node.target))
    if isinstance(module, _PASS_MODULES):
        return table.get(first_input(node))
    if isinstance(module, nn.Flatten) and _keeps_channels(node):
        return table.get(first_input(node))
    return None


def _call_rule(traced: fx.GraphModule, node: fx.Node, table: dict[Any, Support]) -> Support | None:
    target, method = node.target, node.op == "call_method"

    def one_of(calls: tuple[Any, ...], methods: tuple[str, ...]) -> bool:
        return target in methods if method else target in calls

    if one_of(_PASS_CALLS, _PASS_METHODS):
        return table.get(first_input(node))
    if one_of(_RESHAPES, _RESHAPE_METHODS):
        return table.get(first_input(node)) if _keeps_channels(node) else None
    if one_of(_SUMS, _SUM_METHODS):
        return _combine(node, table, any_of)
    if one_of(_PRODUCTS, _PRODUCT_METHODS):
        return _combine(node, table, _sparser)
    if target is operator.truediv and not isinstance(node.args[1], fx.Node):
        return table.get(first_input(node))
    if one_of((torch.clamp, torch.clip), ("clamp", "clip", "clamp_", "clip_")):
        return table.get(first_input(node)) if _holds_zero(node) else None
    if not method and target in (torch.cat, torch.concat, torch.concatenate):
        return _concatenation(node, table)
    if not method and target is F.pad:
        return _padding(node, table)
    return None


def _keeps_channels(node: fx.Node) -> bool:
    """Whether axis 1 still counts channels: no elements moved across it, batch and width unchanged.

    A row-major reshape that keeps the sizes of axes 0 and 1 keeps their contents; a flatten of maps larger than 1x1
    does not keep axis 1. A reduction over other axes keeps both; one over the channels changes axis 1, and where the
    sizes happen to agree the axis argument decides.
    """
    before, after = shape_of(first_input(node)), shape_of(node)
    if before is None or after is None or len(after) < 2 or before[:2] != after[:2]:
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name not in ("mean", "sum", "amax"):
        return True
    axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    listed = tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)
    return all(isinstance(axis, int) and axis % len(before) >= 2 for axis in listed)


def _combine(node: fx.Node, table: dict[Any, Support], join: Callable[[list[Support]], Support]) -> Support | None:
    """Join the operands' supports; None when a plain number other than 0 is added or the shapes broadcast channels."""
    width = shape_of(node)
    parts: list[Support] = []
    for operand in node.args[:2]:
        shape = shape_of(operand)
        if shape is None:
            if join is any_of and operand != 0:
                return None
        elif width is None or len(shape) != len(width) or shape[1] != width[1] or operand not in table:
            if join is any_of:
                return None  # a broadcast operand of a product cannot make a zero channel nonzero
        else:
            parts.append(table[operand])
    if "alpha" in node.kwargs or not parts:
        return None
    return join(parts)


def _sparser(parts: list[Support]) -> Support:
    """A product is zero where either factor is: keep the operand that is not dense (an AND has no expression)."""
    return next((part for part in parts if not isinstance(part, Dense)), parts[0])


def _holds_zero(node: fx.Node) -> bool:
    """Whether zero lies between the bounds of a clamp, which then keeps it."""
    low = node.kwargs.get("min", node.args[1] if len(node.args) > 1 else None)
    high = node.kwargs.get("max", node.args[2] if len(node.args) > 2 else None)
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    return isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= 0 <= high


def _concatenation(node: fx.Node, table: dict[Any, Support]) -> Support | None:
    tensors = node.args[0] if node.args else node.kwargs.get("tensors")
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    shape = shape_of(node)
    if not isinstance(tensors, (list, tuple)) or shape is None or not isinstance(axis, int):
        return None
    if axis % len(shape) != 1 or any(item not in table for item in tensors):
        return None
    return concat([table[item] for item in tensors])


def _padding(node: fx.Node, table: dict[Any, Support]) -> Support | None:
    """Zero padding of the spatial axes keeps the support; any other padding is dense."""
    pads = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    mode = node.kwargs.get("mode", node.args[2] if len(node.args) > 2 else "constant")
    value = node.kwargs.get("value", node.args[3] if len(node.args) > 3 else 0)
    spatial = isinstance(pads, (list, tuple)) and len(pads) <= 4
    return table.get(first_input(node)) if spatial and mode == "constant" and not value else None
