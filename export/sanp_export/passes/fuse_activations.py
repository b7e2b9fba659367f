"""Fold the activation that follows a gated convolution into its clamp."""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import constant, gated_convs, only_consumer


def fuse_activations(graph: gs.Graph) -> int:
    """Fold Relu and Clip with constant bounds into `act_min` and `act_max`.

    Only when the convolution has no other consumer; bounds intersect, so a Clip after a Relu folds as well.
    """
    changes = 0
    for conv in gated_convs(graph):
        while (bounds := _clamp_after(conv, graph)) is not None:
            activation, low, high = bounds
            conv.attrs["act_min"] = min(max(conv.attrs["act_min"], low), high)
            conv.attrs["act_max"] = min(max(conv.attrs["act_max"], low), high)
            result = activation.outputs[0]
            activation.outputs.clear()
            conv.outputs = [result]
            changes += 1
    return changes


def _clamp_after(conv: gs.Node, graph: gs.Graph) -> tuple[gs.Node, float, float] | None:
    node = only_consumer(conv.outputs[0], graph)
    if node is None or node.inputs[0] is not conv.outputs[0]:
        return None
    if node.op == "Relu":
        return node, 0.0, math.inf
    if node.op != "Clip":
        return None
    bounds = [-math.inf, math.inf]
    for index, operand in enumerate(node.inputs[1:]):
        if isinstance(operand, gs.Variable) and operand.is_empty():
            continue
        value = constant(operand)
        if value is None:
            return None
        bounds[index] = float(np.asarray(value).item())
    return node, bounds[0], bounds[1]
