"""Make the gates visible: one output per gated layer."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import SCALE, gated_convs
from sanp_export.graph.shared_gates import follows


def expose_gates(graph: gs.Graph) -> int:
    """List every scale as a graph output `gate.<layer>` [N, Co]; 0 = closed. Costs no node.

    A layer that follows others has no output: theirs say the same.
    """
    changes = 0
    for conv in gated_convs(graph):
        scale = conv.inputs[SCALE]
        if not follows(conv) and not any(scale is output for output in graph.outputs):
            graph.outputs.append(scale)
            changes += 1
    return changes
