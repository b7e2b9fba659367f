"""Poolings of single pixels, which only skip some, become slices."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

_POOLS = ("AveragePool", "MaxPool")


def slice_pools(graph: gs.Graph) -> int:
    """Turn every pooling with a window of one pixel and no padding into a Slice with its strides.

    ONNX Runtime moves a Pad in front of a pooling into it, and then refuses pads that are as large as the window.
    """
    changes = 0
    for node in graph.nodes:
        window = node.attrs.get("kernel_shape", [])
        if node.op not in _POOLS or set(window) != {1} or any(node.attrs.get("pads", [])) or len(node.outputs) != 1:
            continue
        steps = list(node.attrs.get("strides", [1] * len(window)))
        axes = range(2, 2 + len(window))
        parts = {
            "starts": [0] * len(window),
            "ends": [np.iinfo(np.int64).max] * len(window),
            "axes": axes,
            "steps": steps,
        }
        place = f"{node.name or node.outputs[0].name}.slice"
        node.inputs = [
            node.inputs[0],
            *(gs.Constant(f"{place}.{name}", np.array(list(values), np.int64)) for name, values in parts.items()),
        ]
        node.op, node.attrs = "Slice", {}
        changes += 1
    return changes
