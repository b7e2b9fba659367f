"""Which channels of each tensor of an exported graph can be nonzero."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import RESIDUAL, WEIGHT, constant, has_residual, layer_of
from sanp_runtime.contract import GATED_CONV
from sanp_runtime.network.support import Dense, Gate, Support, any_of, concat

# Operators that map zero channels to zero channels, one to one. The cost tracker of the training side has the same
# rules for PyTorch's modules (a test compares the two), or a network would be trained to other MACs than it has.
_CHANNELWISE = {
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "HardSwish", "Softsign", "Tanh", "Neg", "Abs",
    "Erf", "Identity", "Dropout", "Cast",
    "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "Resize",
}  # fmt: skip
_SUMS = ("Add", "Sub", "Max", "Sum")


class SupportTrace:
    """Supports of all tensors of a graph, found by walking upstream; results are cached.

    An operator that is not known to keep zero channels zero makes its output dense: the answer is always a superset of
    the channels that are really nonzero, and at worst less is skipped.
    """

    def __init__(self) -> None:
        self._known: dict[int, Support] = {}

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
        return self._known[id(tensor)]

    def _rule(self, tensor: gs.Tensor) -> Support:
        parts = [self._known[id(item)] for item in _operands(tensor)]
        if not parts and not _is_gated(tensor):
            return Dense(_channels(tensor))
        node = tensor.inputs[0]
        if node.op == GATED_CONV:
            keeps_zero = node.attrs["act_min"] <= 0 <= node.attrs["act_max"]
            return any_of([Gate(layer_of(node)), *parts]) if keeps_zero else Dense(node.inputs[WEIGHT].shape[0])
        if node.op in _SUMS:
            return any_of(parts)
        if node.op == "Mul":
            # Zero where either factor is; an AND has no expression, so the sparse factor stands for it.
            return next((part for part in parts if not isinstance(part, Dense)), parts[0])
        if node.op == "Concat":
            return concat(parts)
        return parts[0]


def _is_gated(tensor: gs.Tensor) -> bool:
    return bool(tensor.inputs) and tensor.inputs[0].op == GATED_CONV


def _operands(tensor: gs.Tensor) -> list[gs.Tensor]:
    """The tensors whose supports decide the support of `tensor`; empty where the answer is known or dense."""
    if not tensor.inputs:
        return []
    node = tensor.inputs[0]
    if node.op == GATED_CONV:
        return [node.inputs[RESIDUAL]] if has_residual(node) else []
    if node.op == "Mul":
        return [item for item in node.inputs if _same_channels(item, tensor)]
    if node.op == "Div":
        return [node.inputs[0]] if _same_channels(node.inputs[0], tensor) else []
    if node.op in _SUMS:
        same = all(list(item.shape or []) == list(tensor.shape or [None]) for item in node.inputs)
        return list(node.inputs) if same else []
    if node.op == "Concat":
        return list(node.inputs) if node.attrs.get("axis") in (1, 1 - len(tensor.shape or [])) else []
    if (
        node.op in _CHANNELWISE
        or _is_zero_clip(node)
        or _is_spatial_mean(node)
        or _keeps_channels(node)
        or _is_zero_pad(node)
    ):
        return [node.inputs[0]]
    return []


def _is_zero_clip(node: gs.Node) -> bool:
    if node.op != "Clip":
        return False
    bounds = [constant(item) for item in node.inputs[1:] if not item.is_empty()]
    values = [float(bound) for bound in bounds if bound is not None]
    return len(bounds) == len(values) == 2 and values[0] <= 0 <= values[1]


def _is_spatial_mean(node: gs.Node) -> bool:
    if node.op not in ("ReduceMean", "ReduceMax", "ReduceSum") or len(node.inputs[0].shape or []) != 4:
        return False
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else node.attrs.get("axes")
    return axes is not None and {int(axis) % 4 for axis in axes} == {2, 3}


def _same_channels(item: gs.Tensor, tensor: gs.Tensor) -> bool:
    """Whether an operand has the rank and the channels of the result: nothing is broadcast along them."""
    shape, result = list(item.shape or []), list(tensor.shape or [])
    return len(shape) == len(result) > 1 and shape[:2] == result[:2]


def _keeps_channels(node: gs.Node) -> bool:
    """Flatten, Reshape, Squeeze that keep the sizes of axes 0 and 1: row-major order then keeps their contents."""
    if node.op not in ("Flatten", "Reshape", "Squeeze", "Unsqueeze"):
        return False
    before, after = list(node.inputs[0].shape or []), list(node.outputs[0].shape or [])
    return len(before) >= 2 and len(after) >= 2 and before[:2] == after[:2]


def _is_zero_pad(node: gs.Node) -> bool:
    """Pad with zeros along the spatial axes alone."""
    if node.op != "Pad" or node.attrs.get("mode", "constant") != "constant" or len(node.inputs) > 3:
        return False
    pads = constant(node.inputs[1])
    value = constant(node.inputs[2]) if len(node.inputs) > 2 and not node.inputs[2].is_empty() else 0.0
    if pads is None or value is None or float(np.asarray(value).item()) != 0.0:
        return False
    rank = len(pads) // 2
    return not pads[[0, 1, rank, rank + 1]].any()


def _channels(tensor: gs.Tensor) -> int:
    shape = tensor.shape or []
    return int(shape[1]) if len(shape) > 1 and isinstance(shape[1], int) else 1
