"""Write gates that do not depend on the sample as standard multiplications."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.gates import emit_mask_gate
from sanp_export.graph.patterns import STATIC_BIAS, STATIC_GATE, STATIC_MASK, STATIC_SCALE, layer_of


def expand_static_gates(graph: gs.Graph) -> int:
    """`SanpStaticGate(s, bias, mask) -> (scale, shift)` becomes scale = mask * s, shift = scale * bias."""
    changes = 0
    for node in [node for node in graph.nodes if node.op == STATIC_GATE]:
        scale, bias, mask = (node.inputs[at] for at in (STATIC_SCALE, STATIC_BIAS, STATIC_MASK))
        emit_mask_gate(graph, layer_of(node), mask, bias, tuple(node.outputs), scale)
        node.outputs.clear()
        changes += 1
    return changes
