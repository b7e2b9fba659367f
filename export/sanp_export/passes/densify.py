"""The dense twin: the same backbone from standard convolutions, the baseline of every measurement."""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.gates import bias_of
from sanp_export.graph.patterns import (
    RESIDUAL,
    WEIGHT,
    X,
    channel_gates,
    float_constant,
    gated_convs,
    has_residual,
    layer_of,
)


def densify(graph: gs.Graph) -> int:
    """Replace gated convolutions by Conv (+ Add) (+ Relu or Clip) and drop the gates.

    Written the way ONNX Runtime fuses best, so that the baseline is the strongest dense form of the same weights.
    """
    changes = 0
    for conv in gated_convs(graph):
        replace_conv(graph, conv, bias_of(conv))
        changes += 1
    for gate in channel_gates(graph):
        gate.outputs.clear()
    return changes


def replace_conv(graph: gs.Graph, conv: gs.Node, bias: gs.Tensor) -> None:
    """Put Conv (+ Add) (+ Relu or Clip) with this bias [Co] in the place of a gated convolution."""
    layer, result = layer_of(conv), conv.outputs[0]
    conv.outputs.clear()
    residual = conv.inputs[RESIDUAL] if has_residual(conv) else None
    low, high = conv.attrs["act_min"], conv.attrs["act_max"]
    steps: list[tuple[str, str, list[gs.Tensor], dict[str, object]]] = []
    attributes = {
        "strides": conv.attrs["strides"],
        "pads": conv.attrs["pads"],
        "dilations": conv.attrs["dilations"],
        "group": conv.attrs["group"],
    }
    steps.append(("Conv", "conv", [conv.inputs[X], conv.inputs[WEIGHT], bias], attributes))
    if residual is not None:
        steps.append(("Add", "add", [residual], {}))
    if (low, high) == (0.0, math.inf):
        steps.append(("Relu", "act", [], {}))
    elif (low, high) != (-math.inf, math.inf):
        bounds = [float_constant(f"{layer}.act_{end}", np.array(value)) for end, value in (("min", low), ("max", high))]
        steps.append(("Clip", "act", bounds, {}))
    tensor: gs.Tensor | None = None
    for index, (op, suffix, operands, attrs) in enumerate(steps):
        last = index == len(steps) - 1
        output = result if last else gs.Variable(f"{layer}.{suffix}", np.float32, result.shape)
        inputs = operands if tensor is None else [tensor, *operands]
        graph.nodes.append(gs.Node(op, f"{layer}/{suffix}", attrs, inputs, [output]))
        tensor = output
    conv.inputs.clear()
