"""Write gates that are the decision of other layers: 0 or 1 from their scales."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.active_tensors import ActiveTensors, name_rows
from sanp_export.graph.gates import emit_shift
from sanp_export.graph.patterns import (
    OPEN_OP,
    OPEN_SUFFIX,
    SCALE,
    SHARED_BIAS,
    SHARED_GATE,
    gated_convs,
    layer_of,
)
from sanp_runtime.network.support import Dense, Gate, Support, concat


def share_gates(graph: gs.Graph) -> int:
    """`SanpSharedGate(bias) -> (scale, shift)` becomes scale = sign(scales of the leaders), shift = scale * bias.

    Layers that follow the same gates share the node of the scale. Scales are never negative, so that their sign is 0
    for a closed channel and 1 for an open one.
    """
    nodes = [node for node in graph.nodes if node.op == SHARED_GATE]
    if not nodes:
        return 0
    convs = {layer_of(conv): conv for conv in gated_convs(graph)}
    active = ActiveTensors(graph)
    opened: dict[Support, gs.Tensor] = {}
    for node in nodes:
        layer, bias, shift = layer_of(node), node.inputs[SHARED_BIAS], node.outputs[1]
        support = concat(
            [
                Gate(name) if name else Dense(int(width))
                for name, width in zip(node.attrs["leaders"], node.attrs["widths"])
            ]
        )
        if support not in opened:
            opened[support] = _emit_open(graph, layer, active.build(support))
        node.outputs.clear()
        convs[layer].inputs[SCALE] = opened[support]
        shift.shape = list(opened[support].shape)
        emit_shift(graph, layer, opened[support], bias, shift)
    name_rows(graph)
    return len(nodes)


def _emit_open(graph: gs.Graph, layer: str, scale: gs.Tensor) -> gs.Tensor:
    opened = gs.Variable(f"{layer}.open", scale.dtype, list(scale.shape))
    graph.nodes.append(gs.Node(OPEN_OP, layer + OPEN_SUFFIX, inputs=[scale], outputs=[opened]))
    return opened
