"""Force every gate open while still computing it: what a gated engine costs when it skips nothing."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.gates import FACTOR, static_scale
from sanp_export.graph.patterns import GATE_B2, GATE_W2, channel_gates, gated_convs


def open_gates(graph: gs.Graph) -> int:
    """Make every scale exactly 1, so that the logits are those of the dense network.

    1. Learned gate: w2 = 0 and b2 = 1 give s = 1 for every sample at unchanged cost; threshold 0, no top-k.
    2. Static gate: its constant becomes 1.
    """
    changes = 0
    for gate in channel_gates(graph):
        gate.inputs[GATE_W2].values = np.zeros_like(gate.inputs[GATE_W2].values)
        gate.inputs[GATE_B2].values = np.ones_like(gate.inputs[GATE_B2].values)
        gate.attrs.update(threshold=0.0, k=0)
        changes += 1
    for conv in gated_convs(graph):
        static = static_scale(conv)
        if static is not None:
            static.inputs[FACTOR].values = np.ones_like(static.inputs[FACTOR].values)
            changes += 1
    return changes
