"""Gates written as standard multiplications, and what else passes ask of the gate of a layer."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import GATE_BIAS, SCALE, SCALE_SUFFIX, SHIFT, constant, float_constant, layer_of
from sanp_runtime.contract import CHANNEL_GATE, mask_input

# Positions in scale = mask * constant and in shift = scale * bias.
MASK, FACTOR = range(2)
_SHIFT_BIAS = 1
_SHIFT_PARTS = ("scaled", "code", "offset")


def emit_mask_gate(
    graph: gs.Graph,
    layer: str,
    mask: gs.Tensor,
    bias: gs.Constant,
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
    graph.nodes.append(gs.Node(scale_op, layer + SCALE_SUFFIX, inputs=operands, outputs=[scale]))
    emit_shift(graph, layer, scale, bias, shift)


def emit_shift(graph: gs.Graph, layer: str, scale: gs.Tensor, bias: gs.Constant, shift: gs.Tensor) -> None:
    """Append shift = scale * bias, writing to `shift`.

    A bias [2, Co] has an offset in its second row, which is added where the scale is not zero.
    """
    if len(bias.shape) == 1:
        graph.nodes.append(gs.Node("Mul", f"{layer}/gate/shift", inputs=[scale, bias], outputs=[shift]))
        return
    inside, outside = (float_constant(f"{bias.name}.{row}", bias.values[row]) for row in range(2))
    scaled, code, moved = (gs.Variable(f"{shift.name}.{part}", np.float32, shift.shape) for part in _SHIFT_PARTS)
    for op, name, inputs, output in (
        ("Mul", "scaled", [scale, inside], scaled),
        ("Sign", "code", [scale], code),
        ("Mul", "offset", [code, outside], moved),
        ("Add", "shift", [scaled, moved], shift),
    ):
        graph.nodes.append(gs.Node(op, f"{layer}/gate/{name}", inputs=inputs, outputs=[output]))


def static_scale(conv: gs.Node) -> gs.Node | None:
    """The multiplication mask * constant that is the static gate of a layer; None for any other gate."""
    node = conv.inputs[SCALE].inputs[0]
    return node if node.op == "Mul" and constant(node.inputs[FACTOR]) is not None else None


def bias_of(conv: gs.Node) -> gs.Constant:
    """Bias [Co] of the layer with every gate at 1: the part that the gate scales, and the offset if there is one."""
    producer = conv.inputs[SHIFT].inputs[0]
    if producer.op == CHANNEL_GATE:
        bias = producer.inputs[GATE_BIAS]
        if len(bias.shape) == 1:
            return bias
        return float_constant(f"{layer_of(conv)}.open_bias", bias.values.sum(0))
    if producer.op == "Mul":
        return producer.inputs[_SHIFT_BIAS]
    parts = [item.inputs[0].inputs[_SHIFT_BIAS].values for item in producer.inputs]
    return float_constant(f"{layer_of(conv)}.open_bias", sum(parts))


def has_offset(conv: gs.Node) -> bool:
    """Whether a part of the layer's shift is not scaled by the gate."""
    producer = conv.inputs[SHIFT].inputs[0]
    return producer.op == "Add" or (producer.op == CHANNEL_GATE and len(producer.inputs[GATE_BIAS].shape) == 2)
