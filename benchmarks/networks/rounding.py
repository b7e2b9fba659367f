"""The weights of small maps as `sanp compile --bf16-weights` leaves them."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from benchmarks.networks.shapes import Network
from sanp_export.graph.number_types import nearest_bf16

# Output pixels of the maps whose weights --bf16-weights rounds.
SMALL_MAP = 16


def rounded(model: onnx.ModelProto, network: Network) -> onnx.ModelProto:
    """A copy with the weights of small maps rounded to bfloat16, as `sanp compile --bf16-weights` does."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    small = {f"{name}.w" for name, conv in network.convs.items() if conv.layer.out**2 <= SMALL_MAP}
    for tensor in copy.graph.initializer:
        if tensor.name in small:
            tensor.CopyFrom(numpy_helper.from_array(nearest_bf16(numpy_helper.to_array(tensor)), tensor.name))
    return copy
