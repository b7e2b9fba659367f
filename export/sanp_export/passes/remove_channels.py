"""Take channels out of every tensor of a group: filters of what computes them, columns of what reads them."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.channel_groups import ChannelGroup, is_depthwise
from sanp_export.graph.gates import FACTOR, MASK, static_scale
from sanp_export.graph.patterns import (
    GATE_B2,
    GATE_BIAS,
    GATE_MASK,
    GATE_W1,
    GATE_W2,
    IN_ACTIVE,
    SCALE,
    SHIFT,
    WEIGHT,
    constant,
)
from sanp_export.graph.shared_gates import follows
from sanp_runtime.contract import CHANNEL_GATE, GATED_CONV

_BIAS = 2  # of Conv


def remove_channels(group: ChannelGroup, keep: np.ndarray) -> int:
    """Keep these channels (sorted indices) of a group; returns how many have left.

    What left must be zero for every reader: the caller has asked the support algebra. `in_active` becomes the constant
    of ones and is wired again by `connect_active`.
    """
    removed = group.channels - len(keep)
    if not removed:
        return 0
    for node in group.readers:
        _drop_columns(node, keep)
    for node in group.sources:
        _drop_filters(node, keep)
    for tensor in group.tensors:
        tensor.shape = [tensor.shape[0], len(keep), *tensor.shape[2:]]
        if tensor.inputs and tensor.inputs[0].op == "Reshape":
            _fix_reshape(tensor.inputs[0], len(keep))
    return removed


def all_active(node: gs.Node) -> None:
    """Set `in_active` of a gated convolution to the constant that says nothing."""
    channels = node.inputs[WEIGHT].shape[1] * int(node.attrs["group"])
    node.inputs[IN_ACTIVE] = gs.Constant(f"{node.name}.all_active", np.ones((1, channels), np.float32))


def _drop_columns(node: gs.Node, keep: np.ndarray) -> None:
    if node.op == CHANNEL_GATE:
        direct = len(node.inputs[GATE_W1].shape) == 1
        _take(node, GATE_W2 if direct else GATE_W1, keep, 1)
    elif node.op in ("Gemm", "MatMul"):
        _take(node, WEIGHT, keep, 1 if node.attrs.get("transB", 0) else 0)
    else:
        _take(node, WEIGHT, keep, 1)
        if node.op == GATED_CONV:
            all_active(node)


def _drop_filters(node: gs.Node, keep: np.ndarray) -> None:
    depthwise = is_depthwise(node)
    _take(node, WEIGHT, keep, 0)
    if depthwise:
        node.attrs["group"] = len(keep)
    if node.op != GATED_CONV:
        if len(node.inputs) > _BIAS and not node.inputs[_BIAS].is_empty():
            _take(node, _BIAS, keep, 0)
        return
    if depthwise:
        all_active(node)
    static, gate = static_scale(node), node.inputs[SCALE].inputs[0]
    if follows(node):
        pass  # the gate is that of the layers that it follows, which lose the same channels
    elif static is not None:
        _take(static, MASK, keep, 1)
        _take(static, FACTOR, keep, 0)
    else:
        _drop_decisions(gate, keep)
    for producer in _shift_nodes(node):
        for index, item in enumerate(producer.inputs):
            if constant(item) is not None:
                _take(producer, index, keep, item.values.ndim - 1)
        for output in producer.outputs:
            output.shape = [output.shape[0], len(keep)]
    for output in (node.inputs[SCALE], node.inputs[SHIFT]):
        output.shape = [output.shape[0], len(keep)]


def _drop_decisions(gate: gs.Node, keep: np.ndarray) -> None:
    _take(gate, GATE_W2, keep, 0)
    _take(gate, GATE_B2, keep, 0)
    _take(gate, GATE_BIAS, keep, gate.inputs[GATE_BIAS].values.ndim - 1)
    _take(gate, GATE_MASK, keep, 1)
    if gate.attrs.get("k", 0) >= len(keep):
        gate.attrs["k"] = 0  # no channel is left that the k largest could close


def _shift_nodes(conv: gs.Node) -> list[gs.Node]:
    """The standard operators that make the shift of a static gate; none for a learned one."""
    last = conv.inputs[SHIFT].inputs[0]
    if last.op == CHANNEL_GATE:
        return []
    if last.op == "Mul":
        return [last]
    parts = [item.inputs[0] for item in last.inputs]
    signs = [item.inputs[0] for part in parts for item in part.inputs if item.inputs and item.inputs[0].op == "Sign"]
    return [last, *parts, *signs]


def _take(node: gs.Node, index: int, keep: np.ndarray, axis: int) -> None:
    """Replace one constant of a node by a part of it, under its name or, where others read it too, another one."""
    old = node.inputs[index]
    values = constant(old)
    assert values is not None
    shared = len(old.outputs) > 1 or not isinstance(old, gs.Constant)
    name = f"{node.name}.{index}" if shared else old.name
    node.inputs[index] = gs.Constant(name, np.ascontiguousarray(np.take(values, keep, axis)))


def _fix_reshape(node: gs.Node, channels: int) -> None:
    """The target shape of a reshape that leaves axis 1 alone."""
    target = constant(node.inputs[1])
    if target is not None and len(target) > 1 and target[1] > 0:
        values = np.array(target)
        values[1] = channels
        node.inputs[1] = gs.Constant(f"{node.name}.shape", values)
