"""Which tensors of a graph have the same channels, so that a channel can only leave all of them together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import GATE_X, RESIDUAL, WEIGHT, X, constant, has_residual, layer_of
from sanp_export.graph.trace_support import KNOWN_OPERATORS, SPATIAL_OPERATORS, channels_stay
from sanp_runtime.contract import CHANNEL_GATE, GATED_CONV, PIXEL_GATED_CONV

_CONVS = (GATED_CONV, "Conv")
_MATRICES = ("Gemm", "MatMul")

# Their further operands are axes, sizes and bounds; those of other operators hold a value for each channel.
_AXES = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Pad")


@dataclass
class ChannelGroup:
    """Tensors [N, C, ...] with the same channels.

    sources: convolutions that compute them, whose filters leave with a channel; a depthwise one is only that. readers:
    nodes with one column of weights for each of these channels. obstacle: why no channel can leave, None if it can.
    """

    tensors: list[gs.Tensor] = field(default_factory=list)
    sources: list[gs.Node] = field(default_factory=list)
    readers: list[gs.Node] = field(default_factory=list)
    obstacle: str | None = None

    @property
    def channels(self) -> int:
        """C."""
        return int(self.tensors[0].shape[1])


def channel_groups(graph: gs.Graph) -> list[ChannelGroup]:
    """The groups whose channels a convolution computes, in graph order."""
    joined = _Joined()
    for node in graph.nodes:
        _visit(node, joined)
    for tensor in graph.inputs:
        joined.block(tensor, "they are those of the input")
    for tensor in graph.outputs:
        joined.block(tensor, "they are an output of the network")
    return [group for group in joined.groups() if group.sources]


def is_depthwise(node: gs.Node) -> bool:
    """Whether a convolution computes every channel from the same channel of its input."""
    weight = constant(node.inputs[WEIGHT])
    return weight is not None and int(node.attrs.get("group", 1)) == weight.shape[0] and weight.shape[1] == 1


def node_name(node: gs.Node) -> str:
    """What a person calls this node: its layer, if it has one."""
    return layer_of(node) if node.op in (GATED_CONV, CHANNEL_GATE, PIXEL_GATED_CONV) else node.name or node.op


class _Joined:
    """Sets of tensors that grow together (union-find), with what was found about each."""

    def __init__(self) -> None:
        self._place: dict[int, ChannelGroup] = {}

    def of(self, tensor: gs.Tensor) -> ChannelGroup:
        """The group of a tensor; tensors that are not feature maps have groups that nobody asks for."""
        if id(tensor) not in self._place:
            self._place[id(tensor)] = ChannelGroup([tensor])
        return self._place[id(tensor)]

    def join(self, first: gs.Tensor, second: gs.Tensor) -> None:
        """Both have the same channels."""
        one, other = self.of(first), self.of(second)
        if one is other:
            return
        for tensor in other.tensors:
            self._place[id(tensor)] = one
        one.tensors += other.tensors
        one.sources += other.sources
        one.readers += other.readers
        one.obstacle = one.obstacle or other.obstacle

    def block(self, tensor: gs.Tensor, why: str) -> None:
        """No channel of this tensor can leave."""
        group = self.of(tensor)
        group.obstacle = group.obstacle or why

    def groups(self) -> Iterable[ChannelGroup]:
        """Every group once."""
        return {id(group): group for group in self._place.values()}.values()


def _visit(node: gs.Node, joined: _Joined) -> None:
    weight = constant(node.inputs[WEIGHT]) if node.op in _CONVS else None
    if node.op in _CONVS and (weight is None or weight.ndim != 4):
        _block_all(node, joined, f"{node_name(node)} is no ordinary convolution")
    elif node.op in _CONVS:
        _convolution(node, joined)
    elif node.op == CHANNEL_GATE:
        joined.of(node.inputs[GATE_X]).readers.append(node)
    elif node.op in _MATRICES and _is_linear(node):
        joined.of(node.inputs[X]).readers.append(node)
        joined.block(node.outputs[0], f"{node_name(node)} is a linear layer")
    elif node.op in KNOWN_OPERATORS or node.op in SPATIAL_OPERATORS:
        _same_channels(node, joined)
    else:
        _block_all(node, joined, f"they go through {node_name(node)} ({node.op})")


def _convolution(node: gs.Node, joined: _Joined) -> None:
    source, result = node.inputs[X], node.outputs[0]
    joined.of(result).sources.append(node)
    if is_depthwise(node):
        joined.join(result, source)
    elif int(node.attrs.get("group", 1)) != 1:
        _block_all(node, joined, f"{node_name(node)} computes its channels in groups")
    else:
        joined.of(source).readers.append(node)
    if len(node.inputs[WEIGHT].outputs) > 1:
        _block_all(node, joined, f"{node_name(node)} shares its weights")
    if node.op == GATED_CONV and has_residual(node):
        joined.join(result, node.inputs[RESIDUAL])


def _same_channels(node: gs.Node, joined: _Joined) -> None:
    """An operator that works channel by channel: elementwise, pooling, a reshape that leaves axis 1 alone."""
    result = node.outputs[0]
    shape = list(result.shape or [])
    spatial = node.op in SPATIAL_OPERATORS
    for item in node.inputs:
        if item.is_empty():
            continue
        number = constant(item)
        if number is not None:
            if number.size > 1 and node.op not in _AXES:
                joined.block(result, f"{node_name(node)} ({node.op}) has a constant for each channel")
        elif list(item.shape or [])[:2] != shape[:2] or len(shape) < 2 or (spatial and not channels_stay(node, result)):
            _block_all(node, joined, f"they go through {node_name(node)} ({node.op})")
            return
        else:
            joined.join(result, item)


def _is_linear(node: gs.Node) -> bool:
    return constant(node.inputs[WEIGHT]) is not None and len(node.inputs[X].shape or []) == 2


def _block_all(node: gs.Node, joined: _Joined, why: str) -> None:
    for tensor in (*node.inputs, *node.outputs):
        if not isinstance(tensor, gs.Constant) and not tensor.is_empty():
            joined.block(tensor, why)
