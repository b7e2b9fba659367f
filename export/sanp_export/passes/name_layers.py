"""Give every gated layer nodes and constants of its own, named after it."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import (
    GATE_B1,
    GATE_B2,
    GATE_BIAS,
    GATE_MASK,
    GATE_W1,
    GATE_W2,
    IN_ACTIVE,
    PIXEL_BASE_WEIGHT,
    PIXEL_BOUND,
    PIXEL_SCALE,
    PIXEL_SHIFT,
    RESIDUAL,
    SCALE,
    SHARED_BIAS,
    SHARED_GATE,
    SHIFT,
    STATIC_BIAS,
    STATIC_GATE,
    STATIC_MASK,
    STATIC_SCALE,
    WEIGHT,
    float_constant,
)
from sanp_runtime.contract import (
    CHANNEL_GATE,
    CONV_SUFFIX,
    GATE_SUFFIX,
    GATED_CONV,
    PIXEL_GATED_CONV,
    gate_output,
    mask_input,
)

_OWN_CONSTANTS = {
    CHANNEL_GATE: {
        GATE_W1: "{}.gate.w1",
        GATE_B1: "{}.gate.b1",
        GATE_W2: "{}.gate.w2",
        GATE_B2: "{}.gate.b2",
        GATE_BIAS: "{}.bias",
    },
    STATIC_GATE: {STATIC_SCALE: "{}.gate.scale", STATIC_BIAS: "{}.bias"},
    SHARED_GATE: {SHARED_BIAS: "{}.bias"},
    GATED_CONV: {WEIGHT: "{}.weight"},
    PIXEL_GATED_CONV: {
        WEIGHT: "{}.weight",
        PIXEL_BASE_WEIGHT: "{}.base_weight",
        PIXEL_BOUND: "{}.bound",
        PIXEL_SCALE: "{}.scale",
        PIXEL_SHIFT: "{}.shift",
    },
}
_MASK_INPUT = {CHANNEL_GATE: GATE_MASK, STATIC_GATE: STATIC_MASK}


def name_layers(graph: gs.Graph) -> int:
    """Turn the attribute `layer` into names.

    1. Nodes become `<layer>/conv` and `<layer>/gate`, the scale `gate.<layer>`.
    2. Weights become `<layer>.weight` and so on, each layer with its own copy: the exporter merges equal constants, so
       two layers could share one mask, and overriding it would switch channels off in both.
    3. The mask becomes `mask.<layer>`; `in_active` and `residual` become constants shared by shape.
    """
    shared: dict[str, gs.Constant] = {"none": float_constant("sanp.no_residual", np.zeros(1))}
    changes = 0
    for node in [node for node in graph.nodes if "layer" in node.attrs]:
        layer = node.attrs.pop("layer")
        for index, pattern in _OWN_CONSTANTS[node.op].items():
            node.inputs[index] = float_constant(pattern.format(layer), node.inputs[index].values)
        if node.op == PIXEL_GATED_CONV:
            node.name = layer + CONV_SUFFIX
        elif node.op == GATED_CONV:
            node.name = layer + CONV_SUFFIX
            node.inputs[SCALE].name = gate_output(layer)
            node.inputs[SHIFT].name = f"{layer}.shift"
            channels = node.inputs[WEIGHT].shape[1] * node.attrs["group"]
            ones = float_constant(f"sanp.all_active.{channels}", np.ones((1, channels)))
            node.inputs[IN_ACTIVE] = shared.setdefault(ones.name, ones)
            node.inputs[RESIDUAL] = shared["none"]
        else:
            node.name = layer + GATE_SUFFIX
            if node.op in _MASK_INPUT:  # a shared gate has none: its leaders have
                mask = node.inputs[_MASK_INPUT[node.op]]
                node.inputs[_MASK_INPUT[node.op]] = float_constant(mask_input(layer), mask.values)
        changes += 1
    return changes
