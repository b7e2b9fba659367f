"""The algorithm of every gated convolution: the shape that decides what is possible, and the hint in the graph."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import ALGORITHM, WEIGHT, X, constant, gated_convs, layer_of


def set_algorithms(graph: gs.Graph, algorithms: Mapping[str, str]) -> int:
    """Name the algorithm of the layers in `algorithms` and leave the choice of all others to the library."""
    changes = 0
    for conv in gated_convs(graph):
        wanted = algorithms.get(layer_of(conv))
        changes += conv.attrs.pop(ALGORITHM, None) != wanted
        if wanted is not None:
            conv.attrs[ALGORITHM] = wanted
    return changes


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
