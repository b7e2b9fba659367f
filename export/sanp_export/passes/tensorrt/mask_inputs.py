"""Masks as true inputs: TensorRT freezes an input that has a default value to a constant."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import SCALE, SHIFT, gated_convs
from sanp_runtime.contract import ACTIVE_PREFIX, MASK_PREFIX


def mask_inputs(graph: gs.Graph) -> int:
    """Turn every default mask into an input `mask.<layer>` float32 [N, Co].

    All scales then have one row per sample, so their expansion to the batch (from connect_active) is dropped as well;
    it would be computed with shape tensors for nothing. The runtime feeds ones where the caller gives no mask.
    """
    batch = graph.inputs[0].shape[0]
    changes = 0
    for tensor in [
        t for t in graph.tensors().values() if isinstance(t, gs.Constant) and t.name.startswith(MASK_PREFIX)
    ]:
        mask = gs.Variable(tensor.name, np.float32, [batch, int(tensor.shape[1])])
        _replace(tensor, mask)
        graph.inputs.append(mask)
        changes += 1
    for conv in gated_convs(graph):
        for position in (SCALE, SHIFT):
            conv.inputs[position].shape = [batch, conv.inputs[position].shape[1]]
    for node in [node for node in graph.nodes if node.op == "Expand" and not isinstance(node.inputs[0], gs.Constant)]:
        if node.name.startswith(ACTIVE_PREFIX):
            _replace(node.outputs[0], node.inputs[0])
            node.outputs.clear()
            changes += 1
    return changes


def _replace(old: gs.Tensor, new: gs.Tensor) -> None:
    """Let every reader of `old` read `new`."""
    for node in list(old.outputs):
        for index, tensor in enumerate(node.inputs):
            if tensor is old:
                node.inputs[index] = new
