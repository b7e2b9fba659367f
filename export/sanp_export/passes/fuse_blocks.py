"""Expansion, depthwise layer and projection of an inverted residual block become one node."""

from __future__ import annotations

from collections.abc import Collection

import onnx_graphsurgeon as gs

from sanp_export.graph.inverted_residuals import Block, inverted_residuals
from sanp_export.graph.patterns import IN_ACTIVE, RESIDUAL, SCALE, SHIFT, WEIGHT, X
from sanp_export.passes.always_open import always_open
from sanp_runtime.contract import DOMAIN, GATED_CONV, INVERTED_RESIDUAL

# Positions in the operator contract (docs/operators.md): as of SanpGatedConv, and behind them the other two layers.
BLOCK_DEPTHWISE, BLOCK_BIAS, BLOCK_PROJECT, BLOCK_SCALE, BLOCK_SHIFT, BLOCK_RESIDUAL = range(5, 11)
_SHIFT_BIAS = 1  # of a follower's shift = open * bias


def fusable_blocks(graph: gs.Graph) -> dict[str, tuple[str, str, str]]:
    """Node -> the three layers that it would compute, of every block that can be one node."""
    return {block.node: block.layers for block in inverted_residuals(graph)}


def fuse_blocks(graph: gs.Graph, nodes: Collection[str] | None = None) -> int:
    """Put `SanpInvertedResidual` in the place of expansion, depthwise layer and projection.

    1. A projection without a gate becomes one whose channels are always open, with the addition and the activation that
       follow it.
    2. One node `<expansion>/block` takes the inputs of all three; the decision of the depthwise layer goes unless
       another layer reads it.

    nodes: those to make, by default all. Last in line: passes that look for gated convolutions, and the
    support algebra, do not look into a block.
    """
    blocks = [block for block in inverted_residuals(graph) if nodes is None or block.node in nodes]
    plain = [block.layers[2] for block in blocks if block.project.op != GATED_CONV]
    if plain:
        always_open(graph, plain)
    for block in blocks:
        _replace(graph, block)
    if blocks:
        graph.cleanup(remove_unused_graph_inputs=False).toposort()
    return len(blocks)


def _replace(graph: gs.Graph, block: Block) -> None:
    expand, depthwise, project = block.expand, block.depthwise, block.project
    inputs = [
        *(expand.inputs[index] for index in (X, WEIGHT, SCALE, SHIFT, IN_ACTIVE)),
        depthwise.inputs[WEIGHT],
        depthwise.inputs[SHIFT].inputs[0].inputs[_SHIFT_BIAS],
        *(project.inputs[index] for index in (WEIGHT, SCALE, SHIFT, RESIDUAL)),
    ]
    attributes = {name: depthwise.attrs[name] for name in ("strides", "pads", "dilations", "group")}
    for prefix, conv in (("expand", expand), ("depthwise", depthwise), ("act", project)):
        attributes.update({f"{prefix}_{end}": conv.attrs[f"act_{end}"] for end in ("min", "max")})
    name, result = block.node, project.outputs[0]
    for conv in (expand, depthwise, project):
        conv.outputs.clear()
        conv.inputs.clear()
    graph.nodes.append(gs.Node(INVERTED_RESIDUAL, name, attributes, inputs, [result], domain=DOMAIN))
