"""Name the algorithm of gated convolutions: a hint that the kernels take."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import ALGORITHM, gated_convs, layer_of


def set_algorithms(graph: gs.Graph, algorithms: Mapping[str, str]) -> int:
    """Name the algorithm of the layers in `algorithms` and leave the choice of all others to the library."""
    changes = 0
    for conv in gated_convs(graph):
        wanted = algorithms.get(layer_of(conv))
        changes += conv.attrs.pop(ALGORITHM, None) != wanted
        if wanted is not None:
            conv.attrs[ALGORITHM] = wanted
    return changes
