"""Gates that say the same for every sample: found, edited, and taken out of the graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.gates import FACTOR, bias_of, has_offset, static_scale
from sanp_export.graph.patterns import (
    GATE_B1,
    GATE_B2,
    GATE_BIAS,
    GATE_W1,
    GATE_W2,
    SCALE,
    SHIFT,
    WEIGHT,
    float_constant,
    gated_convs,
    layer_of,
)
from sanp_export.passes.densify import replace_conv
from sanp_runtime.contract import CHANNEL_GATE

# A saliency below every threshold: its ReLU is zero, which no rank and no threshold lets through.
_CLOSED = -1.0


def constant_scale(conv: gs.Node) -> np.ndarray | None:
    """Scale [Co] of a layer whose gate does not depend on the sample, 0 = closed; None for one that does.

    That is a static gate, or a learned one whose weights are all zero.
    """
    static = static_scale(conv)
    if static is not None:
        return np.asarray(static.inputs[FACTOR].values, np.float32)
    gate = conv.inputs[SCALE].inputs[0]
    if gate.op != CHANNEL_GATE or gate.inputs[GATE_W2].values.any():
        return None
    s = np.maximum(gate.inputs[GATE_B2].values, 0)
    bound = float(gate.attrs.get("threshold", 0.0))
    k = int(gate.attrs.get("k", 0))
    if k:
        bound = max(bound, float(np.sort(s)[::-1][k]))
    return np.where(s > bound, s, 0).astype(np.float32)


def fix_gates(graph: gs.Graph, closed: Mapping[str, np.ndarray], scales: Mapping[str, np.ndarray]) -> int:
    """Close channels of learned gates for every sample, and give whole layers one scale for every sample.

    closed: layer -> indices; scales: layer -> float32 [Co], 0 = closed. A layer in both has the scale. What the graph
    computes then is what it computes after these channels and gates are taken out: the oracle of both.
    """
    changes = 0
    for conv in gated_convs(graph):
        layer, gate = layer_of(conv), conv.inputs[SCALE].inputs[0]
        if gate.op != CHANNEL_GATE:
            continue
        weight, bias = np.array(gate.inputs[GATE_W2].values), np.array(gate.inputs[GATE_B2].values)
        if layer in scales:
            weight[:], bias[:] = 0, np.where(scales[layer] > 0, scales[layer], _CLOSED)
            gate.attrs.update(threshold=0.0, k=0)
        elif layer in closed:
            weight[closed[layer]], bias[closed[layer]] = 0, _CLOSED
        else:
            continue
        gate.inputs[GATE_W2].values, gate.inputs[GATE_B2].values = weight, bias
        changes += 1
    return changes


def drop_gate(graph: gs.Graph, conv: gs.Node, scale: np.ndarray) -> None:
    """Make a gated layer an ordinary convolution whose weights have the scale [Co] in them; 0 gives filters of zeros.

    Multiplied in float64 and rounded once. The gate's output and its mask are gone from the graph.
    """
    factor = scale.astype(np.float64)
    weight = conv.inputs[WEIGHT].values.astype(np.float64) * factor[:, None, None, None]
    inside, outside = _bias_parts(conv)
    bias = float_constant(f"{layer_of(conv)}.bias", inside * factor + outside * (factor > 0))
    conv.inputs[WEIGHT] = float_constant(conv.inputs[WEIGHT].name, weight)
    graph.outputs = [output for output in graph.outputs if output is not conv.inputs[SCALE]]
    gate = conv.inputs[SCALE].inputs[0]
    replace_conv(graph, conv, bias)
    if gate.op == CHANNEL_GATE:
        gate.inputs.clear()
        gate.outputs.clear()


def _bias_parts(conv: gs.Node) -> tuple[np.ndarray, np.ndarray]:
    """The part of the bias that the gate scales and the part that it only switches, float64 [Co] each."""
    producer = conv.inputs[SHIFT].inputs[0]
    if producer.op == CHANNEL_GATE:
        values = producer.inputs[GATE_BIAS].values.astype(np.float64)
    elif has_offset(conv):
        values = np.stack([item.inputs[0].inputs[1].values.astype(np.float64) for item in producer.inputs])
    else:
        values = bias_of(conv).values.astype(np.float64)
    return (values[0], values[1]) if values.ndim == 2 else (values, np.zeros_like(values))


def saliency(gate: gs.Node, pooled: np.ndarray) -> np.ndarray:
    """u [N, Co] of a learned gate in float64, from the means [N, Ci] of what it reads."""
    w1, b1, w2, b2 = (gate.inputs[at].values.astype(np.float64) for at in (GATE_W1, GATE_B1, GATE_W2, GATE_B2))
    hidden = np.maximum(pooled @ w1.T + b1, 0) if w1.ndim == 2 else pooled
    return np.asarray(hidden @ w2.T + b2)
