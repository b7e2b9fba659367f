"""The shapes of the gated convolutions, as the operator library takes them."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import WEIGHT, X, constant, gated_convs, layer_of


def kernel_shapes(graph: gs.Graph) -> dict[str, tuple[int, ...]]:
    """Layer -> the 15 numbers of `OpLibrary.algorithms`, in graph order; maps of unknown size are left out."""
    shapes = {}
    for conv in gated_convs(graph):
        weight, image = constant(conv.inputs[WEIGHT]), (conv.inputs[X].shape or ())[2:]
        if weight is None or len(image) != 2 or not all(isinstance(size, int) for size in image):
            continue
        a = conv.attrs
        channels = weight.shape[1] * a["group"]
        geometry = [*a["strides"], *a["pads"], *a["dilations"], a["group"]]
        shapes[layer_of(conv)] = tuple(map(int, (channels, *image, weight.shape[0], *weight.shape[2:], *geometry)))
    return shapes
