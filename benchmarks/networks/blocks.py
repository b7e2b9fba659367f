"""Inverted residual blocks of a network, and the node that computes one at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnx import NodeProto, helper

from benchmarks.networks.shapes import Conv, Network


@dataclass(frozen=True)
class Block:
    """Names of the three convolutions of a block; the gate of the first decides for all of them."""

    expand: str
    depthwise: str
    project: str


def blocks_of(network: Network) -> list[Block]:
    """Expansion, depthwise layer that follows its gate, projection; each read by the next one alone."""
    convs, readers = network.convs, _readers(network)
    found = []
    for name, project in convs.items():
        depthwise = convs.get(project.source)
        expand = convs.get(depthwise.source) if depthwise is not None else None
        if depthwise is None or expand is None or not _pointwise(project) or not _pointwise(expand):
            continue
        alone = readers[project.source] == 1 and readers[depthwise.source] == 1
        is_depthwise = depthwise.layer.group == depthwise.layer.c_in == depthwise.layer.c_out > 1
        plain = not expand.residual and not depthwise.residual
        if alone and plain and is_depthwise and depthwise.mask == depthwise.source and expand.mask == "own":
            found.append(Block(depthwise.source, project.source, name))
    return found


def block_node(block: Block, network: Network) -> NodeProto:
    """SanpInvertedResidual in place of the three nodes, with their names of weights and masks.

    The graph needs a constant `<depthwise>.b` more: the bias of the depthwise layer.
    """
    expand, depthwise, project = (network.convs[name] for name in (block.expand, block.depthwise, block.project))
    layer = depthwise.layer
    clamps = {"expand": expand, "depthwise": depthwise, "act": project}
    bounds = {f"{name}_min": 0.0 if conv.relu else -math.inf for name, conv in clamps.items()}
    return helper.make_node(
        "SanpInvertedResidual",
        [expand.source, f"{block.expand}.w", f"{block.expand}.scale", f"{block.expand}.shift", f"{block.expand}.active",
         f"{block.depthwise}.w", f"{block.depthwise}.b", f"{block.project}.w", f"{block.project}.scale",
         f"{block.project}.shift", project.residual or "zero"],
        [block.project], domain="sanp", strides=[layer.stride] * 2, pads=[layer.pad] * 4, dilations=[1, 1],
        group=layer.group, **bounds, **{f"{name}_max": math.inf for name in clamps},
    )  # fmt: skip


def _readers(network: Network) -> dict[str, int]:
    count = dict.fromkeys(network.nodes, 0)
    for node in network.nodes.values():
        sources = [node.source, node.residual] if isinstance(node, Conv) else node[1:]
        for source in sources:
            if source in count:
                count[source] += 1
    return count


def _pointwise(conv: Conv) -> bool:
    layer = conv.layer
    return layer.kernel == 1 and layer.stride == 1 and layer.pad == 0 and layer.group == 1
