"""Make the remaining custom nodes plugins: what TensorRT's parser looks up, and weights in the order of the kernels."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import ALGORITHM, WEIGHT, channel_gates, gated_convs
from sanp_runtime.contract import GATED_CONV

HWIO = 1
_PLUGIN = {"plugin_version": "1", "plugin_namespace": ""}


def plugin_nodes(graph: gs.Graph) -> int:
    """Name version and namespace on every custom node; permute the weights to [kh, kw, Ci/group, Co].

    An empty namespace must be written out: from 10.7 on it is what makes a plugin win over a function of that name.
    HWIO lets a skipped input channel save whole rows of weights. Running it twice would permute twice, so it does not.
    """
    changes = 0
    for node in [*gated_convs(graph), *channel_gates(graph)]:
        if "plugin_version" in node.attrs:
            continue
        node.attrs.update(_PLUGIN)
        node.attrs.pop(ALGORITHM, None)  # names kernels of the CPU
        if node.op == GATED_CONV:
            weight = node.inputs[WEIGHT]
            node.inputs[WEIGHT] = gs.Constant(f"{weight.name}.hwio", hwio(weight.values))
            node.attrs["weight_order"] = HWIO
        changes += 1
    return changes


def hwio(weight: np.ndarray) -> np.ndarray:
    """[Co, Ci/group, kh, kw] as [kh, kw, Ci/group, Co]."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
