"""Node names that every tool of TensorRT can write and read."""

from __future__ import annotations

import re

import onnx_graphsurgeon as gs


def plain_names(graph: gs.Graph) -> int:
    """Keep node names to [A-Za-z0-9_./-] and unique: trtexec writes them into JSON without escaping."""
    changes = 0
    taken: set[str] = set()
    for node in graph.nodes:
        base = name = re.sub(r"[^A-Za-z0-9_./-]", "_", node.name or node.op)
        count = 1
        while name in taken:
            count += 1
            name = f"{base}.{count}"
        taken.add(name)
        changes += name != node.name
        node.name = name
    return changes
