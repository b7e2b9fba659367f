"""Which channels of each tensor of an exported graph can be nonzero."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.passes.patterns import WEIGHT, constant, has_residual, layer_of
from sanp_runtime.support import Dense, Gate, Support, any_of, concat

# Operators that map zero channels to zero channels, one to one.
_CHANNELWISE = {
    "Relu", "LeakyRelu", "PRelu", "Tanh", "HardSwish", "Gelu", "Neg", "Abs", "Identity", "Dropout",
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Cast",
}  # fmt: skip


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
        if node.op == "SanpGatedConv":
            keeps_zero = node.attrs["act_min"] <= 0 <= node.attrs["act_max"]
            return any_of([Gate(layer_of(node)), *parts]) if keeps_zero else Dense(node.inputs[WEIGHT].shape[0])
        if node.op in ("Add", "Sub", "Max", "Sum"):
            return any_of(parts)
        if node.op == "Concat":
            return concat(parts)
        return parts[0]


def _is_gated(tensor: gs.Tensor) -> bool:
    return bool(tensor.inputs) and tensor.inputs[0].op == "SanpGatedConv"


def _operands(tensor: gs.Tensor) -> list[gs.Tensor]:
    """The tensors whose supports decide the support of `tensor`; empty where the answer is known or dense."""
    if not tensor.inputs:
        return []
    node = tensor.inputs[0]
    if node.op == "SanpGatedConv":
        return [node.inputs[5]] if has_residual(node) else []
    if node.op in ("Add", "Sub", "Max", "Sum"):
        same = all(list(item.shape or []) == list(tensor.shape or [None]) for item in node.inputs)
        return list(node.inputs) if same else []
    if node.op == "Concat":
        return list(node.inputs) if node.attrs.get("axis") in (1, 1 - len(tensor.shape or [])) else []
    if node.op in _CHANNELWISE or _is_zero_clip(node) or _is_spatial_mean(node) or _drops_unit_axes(node):
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


def _drops_unit_axes(node: gs.Node) -> bool:
    """Flatten, Reshape or Squeeze from [N, C, 1, 1] to [N, C], or that changes nothing."""
    if node.op not in ("Flatten", "Reshape", "Squeeze"):
        return False
    before, after = node.inputs[0].shape or [], node.outputs[0].shape or []
    return len(before) >= 2 and len(after) >= 2 and list(before[1:2]) == list(after[1:2]) and _units(before, after)


def _units(before: list[object], after: list[object]) -> bool:
    return all(size == 1 for size in before[2:]) and all(size == 1 for size in after[2:])


def _channels(tensor: gs.Tensor) -> int:
    shape = tensor.shape or []
    return int(shape[1]) if len(shape) > 1 and isinstance(shape[1], int) else 1
