"""Let the mask alone decide: the graph for `--gates mask`, for benchmarks and for replay."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.active_tensors import name_rows
from sanp_export.graph.gates import MASK, emit_mask_gate, static_scale
from sanp_export.graph.patterns import GATE_BIAS, GATE_MASK, channel_gates, gated_convs, layer_of


def drop_learned_gates(graph: gs.Graph) -> int:
    """Replace every gate by its mask input: scale = mask, shift = mask * bias.

    A mask is then the scale itself, so that a recorded saliency can be replayed exactly. Handles learned gates and
    static ones (`scale = mask * constant` from expand_static_gates).
    """
    changes = 0
    for gate in channel_gates(graph):
        outputs = tuple(gate.outputs)
        gate.outputs.clear()
        emit_mask_gate(graph, layer_of(gate), gate.inputs[GATE_MASK], gate.inputs[GATE_BIAS], outputs, None)
        gate.inputs.clear()
        changes += 1
    for conv in gated_convs(graph):
        static = static_scale(conv)
        if static is not None:
            static.op = "Identity"
            static.inputs = [static.inputs[MASK]]
            changes += 1
    name_rows(graph)
    return changes
