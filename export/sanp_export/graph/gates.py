"""Gates written as standard multiplications, and what else passes ask of the gate of a layer."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import GATE_BIAS, SCALE, SHIFT, constant
from sanp_runtime.contract import CHANNEL_GATE, mask_input

# Positions in scale = mask * constant and in shift = scale * bias.
MASK, FACTOR = range(2)
_SHIFT_BIAS = 1


def emit_mask_gate(
    graph: gs.Graph,
    layer: str,
    mask: gs.Tensor,
    bias: gs.Tensor,
    outputs: tuple[gs.Tensor, gs.Tensor],
    factor: gs.Tensor | None,
) -> None:
    """Append scale = mask * factor (mask alone without one) and shift = scale * bias, writing to `outputs`.

    The outputs must have no producer any more after the caller has detached the gate node.
    """
    scale, shift = outputs
    for tensor in outputs:
        tensor.inputs.clear()
        tensor.shape = [f"{mask_input(layer)}.N", tensor.shape[1]]  # as many rows as the mask
    scale_op, operands = ("Mul", [mask, factor]) if factor is not None else ("Identity", [mask])
    graph.nodes.append(gs.Node(scale_op, f"{layer}/gate/scale", inputs=operands, outputs=[scale]))
    graph.nodes.append(gs.Node("Mul", f"{layer}/gate/shift", inputs=[scale, bias], outputs=[shift]))


def static_scale(conv: gs.Node) -> gs.Node | None:
    """The multiplication mask * constant that is the static gate of a layer; None for any other gate."""
    node = conv.inputs[SCALE].inputs[0]
    return node if node.op == "Mul" and constant(node.inputs[FACTOR]) is not None else None


def bias_of(conv: gs.Node) -> gs.Tensor:
    """Bias of the folded convolution: the operand that the gate multiplies into the shift."""
    producer = conv.inputs[SHIFT].inputs[0]
    return producer.inputs[GATE_BIAS if producer.op == CHANNEL_GATE else _SHIFT_BIAS]
