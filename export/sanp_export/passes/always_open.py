"""Plain convolutions as gated ones whose channels are always open, for our kernels to compute them."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.active_tensors import ActiveTensors, name_rows
from sanp_export.graph.layer_table import module_name
from sanp_export.graph.patterns import IN_ACTIVE, X, constant, float_constant
from sanp_export.graph.trace_support import SupportTrace
from sanp_export.passes.fuse_activations import fuse_activations
from sanp_export.passes.fuse_residuals import fuse_residuals
from sanp_runtime.contract import DOMAIN, GATED_CONV, conv_node
from sanp_runtime.network.support import Dense


def always_open(graph: gs.Graph, layers: Collection[str] | None = None) -> int:
    """Replace two-dimensional convolutions of one group by SanpGatedConv with the scale 1 and their bias as the shift.

    The addition and the activation that follow become part of them, as in a gated network. Grouped convolutions stay:
    our kernels gain nothing there. So do those whose weights or bias are computed, or whose padding follows the image.
    layers: those to replace, by default all.
    """
    # All names before the first change: a name counts the readers of its weights.
    found = {id(node): module_name(node) for node in graph.nodes if _fits(node)}
    nodes = [node for node in graph.nodes if id(node) in found and (layers is None or found[id(node)] in layers)]
    if not nodes:
        return 0
    trace, active = SupportTrace(), ActiveTensors(graph)
    supports = [trace.of(node.inputs[X]) for node in nodes]
    for node, support in zip(nodes, supports):
        _replace(node, found[id(node)])
        if not isinstance(support, Dense):  # behind a gate it skips what is closed there
            node.inputs[IN_ACTIVE] = active.build(support)
    name_rows(graph)
    return len(nodes) + fuse_residuals(graph) + fuse_activations(graph)


def _fits(node: gs.Node) -> bool:
    if node.op != "Conv" or node.attrs.get("group", 1) != 1 or node.attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return False
    operands = [constant(tensor) for tensor in node.inputs[1:] if not tensor.is_empty()]
    if any(value is None or value.dtype != np.float32 for value in operands):
        return False
    return len(node.inputs[1].shape) == 4


def _replace(node: gs.Node, layer: str) -> None:
    weight = constant(node.inputs[1])
    assert weight is not None
    c_out, c_in = weight.shape[:2]
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 and not node.inputs[2].is_empty() else np.zeros(c_out)
    assert bias is not None
    node.inputs = [
        *node.inputs[:2],
        float_constant(f"{layer}.scale", np.ones((1, c_out))),
        float_constant(f"{layer}.shift", bias.reshape(1, c_out)),
        float_constant(f"{layer}.in_active", np.ones((1, c_in))),
        float_constant(f"{layer}.residual", np.zeros(1)),
    ]
    node.attrs = {
        "strides": list(node.attrs.get("strides", (1, 1))),
        "pads": list(node.attrs.get("pads", (0, 0, 0, 0))),
        "dilations": list(node.attrs.get("dilations", (1, 1))),
        "group": 1,
        "act_min": -math.inf,
        "act_max": math.inf,
    }
    node.op, node.domain, node.name = GATED_CONV, DOMAIN, conv_node(layer)
