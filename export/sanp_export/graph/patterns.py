"""What passes ask of a graph: gated nodes, constants, single consumers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.weight_files import place_of
from sanp_runtime.contract import CHANNEL_GATE, GATED_CONV

# Positions in the operator contract (docs/operators.md).
X, WEIGHT, SCALE, SHIFT, IN_ACTIVE, RESIDUAL = range(6)
ALGORITHM = "algorithm"
GATE_X, GATE_W1, GATE_B1, GATE_W2, GATE_B2, GATE_BIAS, GATE_MASK = range(7)
GATE_THRESHOLD = 7  # an input that a gate may lack
# Positions in SanpGatedQLinearConv: steps and zero points stand behind their tensors.
QLINEAR_X_SCALE, QLINEAR_W_SCALE, QLINEAR_Y_SCALE = 1, 4, 11
QLINEAR_GATE_SHIFT = 2  # SanpQLinearChannelGate has a step and a zero point behind x; everything else follows

# Constants of SanpPixelGatedConv behind x and w.
PIXEL_BASE_WEIGHT, PIXEL_BOUND, PIXEL_SCALE, PIXEL_SHIFT = range(2, 6)

# A gate that is the same for every sample, between lowering and `expand_static_gates`.
STATIC_GATE = "SanpStaticGate"
STATIC_SCALE, STATIC_BIAS, STATIC_MASK = range(3)

# A gate that is the decision of other layers, between lowering and `share_gates`.
SHARED_GATE = "SanpSharedGate"
SHARED_BIAS = 0

# The node that makes 0 or 1 of the leaders' scales, which are never negative, and the end of its name.
OPEN_OP = "Sign"
OPEN_SUFFIX = "/gate/open"

# The end of the name of the node that makes a scale without a saliency module: of the mask, or of it and a constant.
SCALE_SUFFIX = "/gate/scale"


# Attributes of a Constant node, and the type that their numbers have.
_CONSTANT_FORMS = {
    "value": None, "value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32
}  # fmt: skip


def gated_convs(graph: gs.Graph) -> Iterator[gs.Node]:
    """Every SanpGatedConv, in graph order; a snapshot, so that callers may change the graph."""
    yield from [node for node in graph.nodes if node.op == GATED_CONV]


def channel_gates(graph: gs.Graph) -> Iterator[gs.Node]:
    """Every SanpChannelGate, in graph order; a snapshot."""
    yield from [node for node in graph.nodes if node.op == CHANNEL_GATE]


def layer_of(node: gs.Node) -> str:
    """Layer that a named gated node belongs to: "conv1" for "conv1/conv"."""
    return node.name.rpartition("/")[0]


def only_consumer(tensor: gs.Tensor, graph: gs.Graph) -> gs.Node | None:
    """The node that alone reads `tensor`, or None if there are several or it is a graph output."""
    if len(tensor.outputs) != 1 or any(tensor is output for output in graph.outputs):
        return None
    return tensor.outputs[0]


def constant(tensor: gs.Tensor) -> np.ndarray | None:
    """Value of a constant tensor, also when it comes out of a Constant node; None for anything computed."""
    if isinstance(tensor, gs.Constant):
        return tensor.values
    if len(tensor.inputs) == 1 and tensor.inputs[0].op == "Constant":
        for name, dtype in _CONSTANT_FORMS.items():
            if name in tensor.inputs[0].attrs:
                value = tensor.inputs[0].attrs[name]
                return value.values if isinstance(value, gs.Constant) else np.asarray(value, dtype)
    return None


def has_residual(conv: gs.Node) -> bool:
    """True if the residual input is a feature map and not the single element that means "none"."""
    return constant(conv.inputs[RESIDUAL]) is None


def float_constant(name: str, values: np.ndarray) -> gs.Constant:
    """A float32 constant that owns its memory, or whose values stay in the file that they stand in."""
    if values.dtype == np.float32 and place_of(values) is not None:
        return gs.Constant(name, values)
    return gs.Constant(name, np.array(values, dtype=np.float32, order="C"))
