"""Thresholds as inputs: what one network costs can then be chosen in every call."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import GATE_THRESHOLD, channel_gates, float_constant, layer_of
from sanp_runtime.contract import CHANNEL_GATE, QLINEAR_CHANNEL_GATE, threshold_input


def dial_inputs(graph: gs.Graph) -> int:
    """Give every learned gate, of float32 or of bytes, the input `threshold.<layer>` float32 [1].

    Its default is the node's own threshold, so that whoever feeds none gets the network as trained, bit for bit.
    """
    changes = 0
    for gate in graph.nodes:
        name = threshold_input(layer_of(gate))
        if gate.op in (CHANNEL_GATE, QLINEAR_CHANNEL_GATE) and gate.inputs[-1].name != name:
            gate.inputs.append(float_constant(name, np.array([gate.attrs["threshold"]])))
            changes += 1
    return changes


def drop_dial(graph: gs.Graph) -> int:
    """Give every gate of float32 its own threshold again, for TensorRT, whose engines have no inputs with defaults."""
    changes = 0
    for gate in channel_gates(graph):
        if len(gate.inputs) > GATE_THRESHOLD:
            del gate.inputs[GATE_THRESHOLD]
            changes += 1
    return changes
