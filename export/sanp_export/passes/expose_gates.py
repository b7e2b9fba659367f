"""Make the gates visible: one output per gated layer."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import SCALE, gated_convs


def expose_gates(graph: gs.Graph) -> int:
    """List every scale as a graph output `gate.<layer>` [N, Co]; 0 = closed. Costs no node."""
    changes = 0
    for conv in gated_convs(graph):
        scale = conv.inputs[SCALE]
        if not any(scale is output for output in graph.outputs):
            graph.outputs.append(scale)
            changes += 1
    return changes
