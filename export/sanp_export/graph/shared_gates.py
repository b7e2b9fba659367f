"""Whose gate decides for a gated convolution: its own, or those of the layers that it follows."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import OPEN_OP, SCALE, SCALE_SUFFIX, STATIC_GATE, constant, layer_of
from sanp_runtime.contract import CHANNEL_GATE
from sanp_runtime.network.support import Dense, Gate, Support, concat


def follows(conv: gs.Node) -> bool:
    """Whether the layer has no gate of its own."""
    producers = conv.inputs[SCALE].inputs
    return bool(producers) and producers[0].op == OPEN_OP


def outputs_of(conv: gs.Node) -> Support:
    """Which output channels of a gated convolution are computed, by the gates that decide."""
    if not follows(conv):
        return Gate(layer_of(conv))
    return _decided(conv.inputs[SCALE].inputs[0].inputs[0])


def _decided(scale: gs.Tensor) -> Support:
    """The gates behind a scale, or behind scales side by side."""
    if constant(scale) is not None:
        return Dense(int(scale.shape[1]))
    node = scale.inputs[0]
    if node.op in (CHANNEL_GATE, STATIC_GATE):
        return Gate(layer_of(node))
    if node.name.endswith(SCALE_SUFFIX):
        return Gate(node.name[: -len(SCALE_SUFFIX)])
    if node.op == "Concat":
        return concat([_decided(part) for part in node.inputs])
    assert node.op == "Expand", f"{node.name}: {node.op} in a shared gate"
    return _decided(node.inputs[0])
