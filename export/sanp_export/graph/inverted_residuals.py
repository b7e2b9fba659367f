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
from sanp_runtime.contract import CHANNEL_GATE, GATED_CONV, block_node


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


def gated_projections(graph: gs.Graph) -> list[str]:
    """Projections whose learned gate is all that keeps their block from being one node, in graph order."""
    found = []
    for depthwise in gated_convs(graph):
        readers = depthwise.outputs[0].outputs
        convs = [node for node in readers if node.op == GATED_CONV]
        if sorted(node.op for node in readers) != [CHANNEL_GATE, GATED_CONV] or _expansion(depthwise, graph) is None:
            continue
        if _projects(convs[0], depthwise):
            found.append(layer_of(convs[0]))
    return found


def _around(depthwise: gs.Node, graph: gs.Graph) -> Block | None:
    expand, project = _expansion(depthwise, graph), only_consumer(depthwise.outputs[0], graph)
    if expand is None or project is None or not _projects(project, depthwise):
        return None
    return Block(expand, depthwise, project)


def _projects(conv: gs.Node, depthwise: gs.Node) -> bool:
    """Whether a reader of the depthwise layer can be the projection of its block."""
    return conv.op in (GATED_CONV, "Conv") and conv.inputs[X] is depthwise.outputs[0] and _is_pointwise(conv)


def _expansion(depthwise: gs.Node, graph: gs.Graph) -> gs.Node | None:
    """The expansion that a depthwise layer follows, and that nobody else reads."""
    if not depthwise.inputs[X].inputs or not _is_depthwise(depthwise):
        return None
    expand: gs.Node = depthwise.inputs[X].inputs[0]
    if expand.op != GATED_CONV or only_consumer(expand.outputs[0], graph) is not depthwise:
        return None
    if not (_is_pointwise(expand) and _ends_at_zero(expand) and _ends_at_zero(depthwise)):
        return None
    return expand if _follows(depthwise, expand) else None


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
