"""Round weights to bfloat16, the upper half of a float32: our kernels then read 16 bits and lose nothing more."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.number_types import nearest_bf16
from sanp_export.graph.patterns import WEIGHT, gated_convs, layer_of
from sanp_targets.errors import ExportError


def round_weights(graph: gs.Graph, layers: Collection[str]) -> int:
    """Round the weights of these gated layers to the nearest bfloat16 number; the number of tensors that changed.

    Weights that another layer reads too are left alone: it would be rounded with them. Raises ExportError for weights
    that are not finite in bfloat16.
    """
    changes = 0
    for conv in gated_convs(graph):
        weights = conv.inputs[WEIGHT]
        if layer_of(conv) not in layers or not isinstance(weights, gs.Constant):
            continue
        if any(reader.op != conv.op or layer_of(reader) not in layers for reader in weights.outputs):
            continue
        rounded = nearest_bf16(weights.values)
        if not (np.isfinite(weights.values).all() and np.isfinite(rounded).all()):
            raise ExportError(
                f"the weights of {layer_of(conv)} reach {np.abs(weights.values).max():.3g}, expected finite numbers "
                "below 3.38e38; export a network that was trained to finite weights"
            )
        changes += not np.array_equal(rounded, weights.values)
        weights.values = rounded
    return changes
