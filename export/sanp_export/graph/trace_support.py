"""Which channels of each tensor of an exported graph can be nonzero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.closed_channels import (
    Closed,
    beside,
    concatenation,
    elementwise,
    keeps_zero,
    product,
    quotient,
    select,
    support_of,
)
from sanp_export.graph.patterns import RESIDUAL, constant, has_residual
from sanp_export.graph.shared_gates import outputs_of
from sanp_runtime.contract import GATED_CONV
from sanp_runtime.network.support import Support

# The training side has the same rules for PyTorch's operations (`sanp/tracing/support_rules.py`; a test and the export
# compare the two), or a network would be trained to other MACs than it has.

# f(0) = 0 on every machine, or a move of values inside a channel.
_KEEP_ZERO = {
    "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "HardSwish", "Softsign", "Tanh", "Erf", "Sqrt",
    "Sin", "Tan", "Asin", "Atan", "Sinh", "Asinh", "Atanh",
    "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "Resize",
}  # fmt: skip
_UNCHANGED = ("Identity", "Dropout", "Cast")
_RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum")
# Exact in floating point, so that the value in closed channels is the same here, in PyTorch and on the device.
_EXACT: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Sum": lambda *parts: sum(parts), "Max": max, "Min": min,
    "Neg": np.negative, "Abs": np.abs, "Sign": np.sign, "Relu": lambda x: max(x, 0),
    "Floor": np.floor, "Ceil": np.ceil, "Round": np.round,
    "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal,
    "Equal": np.equal, "Not": np.logical_not, "And": np.logical_and, "Or": np.logical_or,
}  # fmt: skip

# Operators that work channel by channel: on all their operands, or on the first one, whose axes may change.
KNOWN_OPERATORS = frozenset({*_EXACT, "Mul", "Div", "Where"})
SPATIAL_OPERATORS = frozenset({*_KEEP_ZERO - {"Resize"}, *_UNCHANGED, *_RESHAPES, *_REDUCTIONS, "Slice", "Transpose",
                               "Clip", "Pad", "Pow", "Sigmoid", "HardSigmoid", "Softplus", "Exp", "Log"})  # fmt: skip


class SupportTrace:
    """Supports of all tensors of a graph, found by walking upstream; results are cached.

    An operator without a rule makes its output dense: the answer is always a superset of the channels that are really
    nonzero, and at worst less is skipped.
    """

    def __init__(self) -> None:
        self._known: dict[int, Closed | None] = {}

    def of(self, tensor: gs.Tensor) -> Support:
        """Support of a feature map [N, C, H, W] or of a flattened one [N, C]."""
        pending = [tensor]  # an explicit stack: deep networks exceed Python's recursion limit
        while pending:
            current = pending[-1]
            missing = [item for item in _operands(current) if id(item) not in self._known]
            if id(current) in self._known or not missing:
                self._known.setdefault(id(current), self._rule(current))
                pending.pop()
            else:
                pending.extend(missing)
        return support_of(self._known[id(tensor)], _channels(tensor))

    def _rule(self, tensor: gs.Tensor) -> Closed | None:
        number = constant(tensor)
        if number is not None:
            return Closed(None, float(number)) if number.ndim == 0 and number.dtype.kind in "fbiu" else None
        if not tensor.inputs:
            return None
        node = tensor.inputs[0]
        parts = [self._operand(item, tensor) for item in _operands(tensor)]
        if node.op == GATED_CONV:
            low, high = node.attrs["act_min"], node.attrs["act_max"]
            return elementwise([Closed(outputs_of(node)), *parts], lambda *values: min(max(sum(values), low), high))
        if node.op in _EXACT:
            return elementwise(parts, _single(_EXACT[node.op]))
        if node.op == "Mul":
            return product(parts, _single(np.multiply))
        if node.op == "Div":
            return quotient(parts, _single(np.divide))
        if node.op == "Where":
            return select(parts[0], parts[1], parts[2])
        if node.op == "Concat":
            return self._concatenation(tensor, node)
        return self._unary(tensor, node)

    def _operand(self, item: gs.Tensor, result: gs.Tensor) -> Closed | None:
        """What is known of an operand, unless it is broadcast along the channels of the result."""
        known = self._known[id(item)]
        return known if known is None or known.support is None or _same_channels(item, result) else None

    def _concatenation(self, tensor: gs.Tensor, node: gs.Node) -> Closed | None:
        parts = [self._known[id(item)] for item in node.inputs]
        axis = int(node.attrs["axis"]) % len(tensor.shape or [0])
        if axis == 1:
            return concatenation(parts, [_channels(item) for item in node.inputs])
        return beside(parts) if axis > 1 else None

    def _unary(self, tensor: gs.Tensor, node: gs.Node) -> Closed | None:
        if not node.inputs:
            return None
        known = self._known[id(node.inputs[0])]
        if known is None or (known.support is not None and not channels_stay(node, tensor)):
            return None
        if node.op in _UNCHANGED or node.op in _RESHAPES or node.op in ("Expand", "Slice", "Transpose"):
            return known
        if node.op == "Clip":
            low, high = (constant(item) if not item.is_empty() else unset for item, unset in _bounds(node))
            if low is None or high is None:
                return None
            return elementwise([known], lambda value: min(max(value, np.float32(low)), np.float32(high)))
        if node.op == "Pad":
            return known if _pads_keep(node, known.value) else None
        if node.op == "Pow":
            exponent = constant(node.inputs[1])
            return keeps_zero(known) if exponent is not None and exponent.ndim == 0 and exponent > 0 else None
        return keeps_zero(known) if node.op in _KEEP_ZERO or node.op in _REDUCTIONS else None


def _single(function: Callable[..., Any]) -> Callable[..., float]:
    """The function in the precision of the network."""
    return lambda *values: float(function(*[np.float32(value) for value in values]))


def _operands(tensor: gs.Tensor) -> list[gs.Tensor]:
    """The tensors that a rule may ask about."""
    if not tensor.inputs:
        return []
    node = tensor.inputs[0]
    if node.op == GATED_CONV:
        return [node.inputs[RESIDUAL]] if has_residual(node) else []
    if node.op in _EXACT or node.op in ("Mul", "Div", "Where", "Concat"):
        return list(node.inputs)
    return list(node.inputs[:1])


def _bounds(node: gs.Node) -> list[tuple[gs.Tensor, np.ndarray]]:
    given = [*node.inputs[1:3], *[gs.Variable.empty()] * 2][:2]
    return list(zip(given, (np.array(-np.inf), np.array(np.inf))))


def channels_stay(node: gs.Node, result: gs.Tensor) -> bool:
    """Whether axes 0 and 1 of the first input are those of the result, and no value moves across them."""
    source = node.inputs[0]
    before, after = list(source.shape or []), list(result.shape or [])
    if node.op in _REDUCTIONS:
        axes = constant(node.inputs[1]) if len(node.inputs) > 1 else node.attrs.get("axes")
        return axes is not None and all(int(axis) % len(before) >= 2 for axis in axes)
    if node.op == "Transpose":
        return list(node.attrs.get("perm", []))[:2] == [0, 1]
    if node.op == "Slice":
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
        return axes is not None and all(int(axis) % len(before) >= 2 for axis in axes)
    if node.op in _RESHAPES:
        return len(before) >= 2 and len(after) >= 2 and before[:2] == after[:2]
    if node.op == "Expand":
        return _same_channels(source, result)
    return True


def _same_channels(item: gs.Tensor, result: gs.Tensor) -> bool:
    """Whether an operand has the rank and the channels of the result: nothing is broadcast along them."""
    shape, whole = list(item.shape or []), list(result.shape or [])
    return len(shape) == len(whole) > 1 and shape[:2] == whole[:2]


def _pads_keep(node: gs.Node, closed: float) -> bool:
    """Pad along the spatial axes alone, with the value of the closed channels or with the tensor's own elements."""
    pads = constant(node.inputs[1])
    if pads is None or (len(node.inputs) > 3 and not node.inputs[3].is_empty()):
        return False
    rank = len(pads) // 2
    if pads[[0, 1, rank, rank + 1]].any():
        return False
    value = constant(node.inputs[2]) if len(node.inputs) > 2 and not node.inputs[2].is_empty() else np.zeros(())
    own = node.attrs.get("mode", "constant") != "constant"
    return own or (value is not None and float(np.asarray(value).item()) == closed)


def _channels(tensor: gs.Tensor) -> int:
    shape = tensor.shape or []
    return int(shape[1]) if len(shape) > 1 and isinstance(shape[1], int) else 1
