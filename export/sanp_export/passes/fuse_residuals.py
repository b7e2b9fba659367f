"""Fold the addition at the end of a residual block into the gated convolution."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import RESIDUAL, gated_convs, has_residual, only_consumer


def fuse_residuals(graph: gs.Graph) -> int:
    """Turn Add(conv, other) into the `residual` input of `conv`.

    1. The convolution has no activation and no residual yet, and the addition is its only consumer.
    2. Both operands have the same shape (a broadcast addition stays an Add).
    3. When both operands are gated convolutions the later one takes the other as its residual: by then it is ready.
    """
    changes = 0
    graph.toposort()
    for conv in reversed(list(gated_convs(graph))):
        node = only_consumer(conv.outputs[0], graph)
        clamped = conv.attrs["act_min"] != float("-inf") or conv.attrs["act_max"] != float("inf")
        if node is None or node.op != "Add" or clamped or has_residual(conv):
            continue
        other = node.inputs[1] if node.inputs[0] is conv.outputs[0] else node.inputs[0]
        if other is conv.outputs[0] or other.shape is None or list(other.shape) != list(conv.outputs[0].shape):
            continue
        conv.inputs[RESIDUAL] = other
        result = node.outputs[0]
        node.outputs.clear()
        node.inputs.clear()
        conv.outputs = [result]
        changes += 1
    return changes
