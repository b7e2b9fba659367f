"""Fold the zero padding in front of a gated convolution into its pads."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import X, constant, gated_convs


def fuse_pads(graph: gs.Graph) -> int:
    """Turn Pad(x) with zeros of the spatial axes, read by one gated convolution alone, into pads of that convolution.

    A layer with a gate keeps it: the gate reads the padded map. A layer that follows others has no gate; networks that
    came from TensorFlow pad in front of every convolution of stride 2.
    """
    changes = 0
    for conv in gated_convs(graph):
        x = conv.inputs[X]
        pads = _zeros_around(x.inputs[0]) if x.inputs and x.inputs[0].op == "Pad" else None
        if pads is None or len(x.outputs) != 1 or any(x is output for output in graph.outputs):
            continue
        conv.attrs["pads"] = [int(a + b) for a, b in zip(conv.attrs["pads"], pads)]
        conv.inputs[X] = x.inputs[0].inputs[0]
        changes += 1
    return changes


def _zeros_around(node: gs.Node) -> list[int] | None:
    """Zeros (top, left, bottom, right) that a Pad of a map adds; None for anything else."""
    pads = constant(node.inputs[1])
    if pads is None or len(pads) != 8 or node.attrs.get("mode", "constant") != "constant":
        return None
    if any(not item.is_empty() for item in node.inputs[3:]) or pads[[0, 1, 4, 5]].any() or (pads < 0).any():
        return None
    value = constant(node.inputs[2]) if len(node.inputs) > 2 and not node.inputs[2].is_empty() else np.zeros(())
    if value is None or float(np.asarray(value).item()) != 0:
        return None
    return [int(pads[at]) for at in (2, 3, 6, 7)]
