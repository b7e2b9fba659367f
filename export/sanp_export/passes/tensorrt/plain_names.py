"""Names of nodes, inputs and outputs that every tool of TensorRT can write and read."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_runtime.contract import plain_name


def plain_names(graph: gs.Graph) -> int:
    """Spell names as `contract.plain_name` does, and node names unique.

    trtexec writes them into JSON without escaping, and separates the inputs of its options by commas and colons.
    """
    changes = 0
    taken: set[str] = set()
    for tensor in (*graph.inputs, *graph.outputs):
        name = plain_name(tensor.name)
        changes += name != tensor.name
        tensor.name = name
    for node in graph.nodes:
        base = name = plain_name(node.name or node.op)
        count = 1
        while name in taken:
            count += 1
            name = f"{base}.{count}"
        taken.add(name)
        changes += name != node.name
        node.name = name
    return changes
