"""Which layer of the table a node of a profile belongs to, and the time per layer."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from sanp_runtime.contract import gate_node
from sanp_runtime.measure.node_times import NodeTime
from sanp_runtime.network.blocks import Blocks, inside
from sanp_runtime.network.layers import Layer

# ONNX Runtime pads channels to its blocked layout: by 16 with AVX-512, by 8 or 4 elsewhere.
_MAX_BLOCK = 16
_CONV_OPS = ("Conv", "FusedConv")
_LINEAR_OPS = ("Gemm", "FusedGemm", "MatMul")


def layer_times(
    layers: Sequence[Layer], nodes: Sequence[NodeTime], blocks: Optional[Blocks] = None
) -> Dict[str, float]:
    """Layer -> ms per call; a layer whose nodes cannot be told is absent.

    blocks: of the variant that was timed. Their layers have one time together, under the name of the first.

    Nodes of the gated variants carry the name of their layer (`<layer>/conv`, `<layer>/gate`). In the dense variant
    ONNX Runtime renames what it fuses, so the remaining convolutions are recognised by kernel, map size and
    channels, and equal ones by their order.
    """
    names = {row.name for row in layers}
    times: Dict[str, float] = {}
    rest: List[NodeTime] = []
    for node in nodes:
        owner = _owner(node.name, names)
        if owner is not None:
            times[owner] = times.get(owner, 0.0) + node.typical_ms
        else:
            rest.append(node)
    fused = inside(blocks or {})
    for layer in layers:
        if layer.name not in times and layer.name not in fused:
            match = next((node for node in rest if _fits(layer, node)), None)
            if match is not None:
                rest.remove(match)
                times[layer.name] = match.typical_ms
    for members in (blocks or {}).values():
        found = [times.pop(name) for name in members if name in times]
        if found:
            times[members[0]] = sum(found)
    return times


def gate_times(layers: Sequence[Layer], nodes: Sequence[NodeTime]) -> Dict[str, float]:
    """Layer -> ms per call of the nodes that decide its gate (`<layer>/gate`, `<layer>/gate/...`); part of its time."""
    times: Dict[str, float] = {}
    for node in nodes:
        for layer in layers:
            gate = gate_node(layer.name)
            if node.name == gate or node.name.startswith(f"{gate}/"):
                times[layer.name] = times.get(layer.name, 0.0) + node.typical_ms
    return times


def _owner(node: str, names: "set[str]") -> Optional[str]:
    """The layer in `<layer>/part` or `<layer>.part`, the longest if several fit."""
    ends = [index for index, char in enumerate(node) if char in "/."] + [len(node)]
    return next((node[:end] for end in reversed(ends) if node[:end] in names), None)


def _fits(layer: Layer, node: NodeTime) -> bool:
    if node.op in _LINEAR_OPS:  # ONNX Runtime packs the weight of a Gemm and no longer lists it
        ends = [shapes[0][-1:] for shapes in (node.input_shapes, node.output_shapes) if shapes]
        return layer.out_hw == (1, 1) and ends == [(layer.c_in,), (layer.c_out,)]
    if node.op not in _CONV_OPS or len(node.input_shapes) < 2 or not node.output_shapes:
        return False
    weight, output = node.input_shapes[1], node.output_shapes[0]
    if len(weight) != 4 or len(output) != 4:
        return False
    spatial = weight[2:] == tuple(layer.kernel) and output[2:] == tuple(layer.out_hw)
    return spatial and _padded(layer.c_out, weight[0]) and _padded(layer.c_in // layer.groups, weight[1])


def _padded(channels: int, found: int) -> bool:
    return channels <= found < channels + _MAX_BLOCK
