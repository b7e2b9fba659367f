"""Write gates that do not depend on the sample as standard multiplications."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import layer_of
from sanp_runtime.contract import mask_input


def expand_static_gates(graph: gs.Graph) -> int:
    """`SanpStaticGate(s, bias, mask) -> (scale, shift)` becomes scale = mask * s, shift = scale * bias."""
    changes = 0
    for node in [node for node in graph.nodes if node.op == "SanpStaticGate"]:
        saliency, bias, mask = node.inputs
        emit_mask_gate(graph, layer_of(node), mask, bias, tuple(node.outputs), saliency)
        node.outputs.clear()
        changes += 1
    return changes


def emit_mask_gate(
    graph: gs.Graph,
    layer: str,
    mask: gs.Tensor,
    bias: gs.Tensor,
    outputs: tuple[gs.Tensor, gs.Tensor],
    saliency: gs.Tensor | None,
) -> None:
    """Append scale = mask * saliency (mask alone without one) and shift = scale * bias, writing to `outputs`.

    The outputs must have no producer any more after the caller has detached the gate node.
    """
    scale, shift = outputs
    for tensor in outputs:
        tensor.inputs.clear()
        tensor.shape = [f"{mask_input(layer)}.N", tensor.shape[1]]  # as many rows as the mask
    scale_op, operands = ("Mul", [mask, saliency]) if saliency is not None else ("Identity", [mask])
    graph.nodes.append(gs.Node(scale_op, f"{layer}/gate/scale", inputs=operands, outputs=[scale]))
    graph.nodes.append(gs.Node("Mul", f"{layer}/gate/shift", inputs=[scale, bias], outputs=[shift]))
