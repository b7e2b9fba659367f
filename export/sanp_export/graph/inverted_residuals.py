"""Inverted residual blocks that one node can compute: expansion, depthwise layer, projection, and nothing between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.layer_table import module_name
from sanp_export.graph.patterns import (
    OPEN_OP,
    SCALE,
    SHIFT,
    WEIGHT,
    X,
    constant,
    gated_convs,
    has_residual,
    layer_of,
    only_consumer,
)
from sanp_runtime.contract import GATED_CONV, block_node


@dataclass(frozen=True)
class Block:
    """The three convolutions of a block. project: a gated convolution, or a plain one."""

    expand: gs.Node
    depthwise: gs.Node
    project: gs.Node

    @property
    def node(self) -> str:
        """Name of the node that computes the block."""
        return block_node(layer_of(self.expand))

    @property
    def layers(self) -> tuple[str, str, str]:
        """Names of the three layers, in the order in which they run."""
        last = layer_of(self.project) if self.project.op == GATED_CONV else module_name(self.project)
        return layer_of(self.expand), layer_of(self.depthwise), last


def inverted_residuals(graph: gs.Graph) -> Iterator[Block]:
    """Every block that can be one node, in graph order; a snapshot, so that callers may change the graph.

    The expansion decides, the depthwise layer follows it, and each result between them has one reader. A projection
    with a learned gate has none of these: its gate reads the whole result of the depthwise layer before it can start.
    """
    for depthwise in list(gated_convs(graph)):
        block = _around(depthwise, graph)
        if block is not None:
            yield block


def _around(depthwise: gs.Node, graph: gs.Graph) -> Block | None:
    if not depthwise.inputs[X].inputs or not _is_depthwise(depthwise):
        return None
    expand: gs.Node = depthwise.inputs[X].inputs[0]
    project = only_consumer(depthwise.outputs[0], graph)
    if project is None or project.inputs[X] is not depthwise.outputs[0]:
        return None
    if expand.op != GATED_CONV or only_consumer(expand.outputs[0], graph) is not depthwise:
        return None
    if not (_is_pointwise(expand) and _ends_at_zero(expand) and _ends_at_zero(depthwise)):
        return None
    if project.op not in (GATED_CONV, "Conv") or not _is_pointwise(project) or not _follows(depthwise, expand):
        return None
    return Block(expand, depthwise, project)


def _weights(conv: gs.Node) -> np.ndarray | None:
    values = constant(conv.inputs[WEIGHT])
    return values if values is not None and values.ndim == 4 and values.dtype == np.float32 else None


def _is_depthwise(conv: gs.Node) -> bool:
    weights = _weights(conv)
    return weights is not None and weights.shape[1] == 1 and weights.shape[0] == conv.attrs["group"]


def _is_pointwise(conv: gs.Node) -> bool:
    """A convolution of one pixel: one group, no strides, no padding; the bias of a plain one is a constant."""
    weights = _weights(conv)
    if weights is None or weights.shape[2:] != (1, 1) or conv.attrs.get("group", 1) != 1:
        return False
    if conv.op == "Conv" and any(constant(item) is None for item in conv.inputs[2:] if not item.is_empty()):
        return False
    strides, pads = conv.attrs.get("strides", (1, 1)), conv.attrs.get("pads", (0, 0, 0, 0))
    return set(strides) == {1} and set(pads) == {0} and conv.attrs.get("auto_pad", "NOTSET") == "NOTSET"


def _ends_at_zero(conv: gs.Node) -> bool:
    """Nothing is added, and the activation leaves closed channels zero."""
    return not has_residual(conv) and conv.attrs["act_min"] <= 0 <= conv.attrs["act_max"]


def _follows(depthwise: gs.Node, expand: gs.Node) -> bool:
    """Whether its scale is the sign of the scale of the expansion, and its shift that sign times a constant [C].

    `in_active` of the layers is not asked for: it is a promise, which takes nothing from the result.
    """
    opened, shift = depthwise.inputs[SCALE], depthwise.inputs[SHIFT]
    if not opened.inputs or opened.inputs[0].op != OPEN_OP or opened.inputs[0].inputs[0] is not expand.inputs[SCALE]:
        return False
    if not shift.inputs or shift.inputs[0].op != "Mul" or shift.inputs[0].inputs[0] is not opened:
        return False
    bias = constant(shift.inputs[0].inputs[1])
    return bias is not None and bias.ndim == 1
