"""The outputs of the network get the names and shapes that they have in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from sanp_runtime.network.outputs import Output


def name_outputs(graph: gs.Graph, outputs: Sequence[Output]) -> int:
    """Name the outputs of a graph; another tensor of such a name gets a new one."""
    own = dict(zip(map(id, graph.outputs), outputs))
    names = {output.name for output in outputs}
    tensors = {id(item): item for node in graph.nodes for item in (*node.inputs, *node.outputs) if not item.is_empty()}
    taken, changes = {item.name for item in tensors.values()} | names, 0
    for key, tensor in tensors.items():
        output, name = own.get(key), tensor.name
        if output is not None:
            # A size that follows that of the image stays what the graph calls it.
            known = [size if size is not None else tensor.shape[at] for at, size in enumerate(output.shape, start=1)]
            name, tensor.shape = output.name, [graph.inputs[0].shape[0], *known]
        elif tensor.name in names:
            name = next(f"{tensor.name}.{n}" for n in range(1, len(taken) + 2) if f"{tensor.name}.{n}" not in taken)
            taken.add(name)
        if name != tensor.name:
            tensor.name, changes = name, changes + 1
    return changes
