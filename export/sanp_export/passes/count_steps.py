"""Outputs that compare every int8 layer with standard operators on the same inputs: the oracle in the file."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.model_file import ORACLE_SUFFIX
from sanp_export.graph.patterns import layer_of
from sanp_runtime.contract import DOMAIN, GATED_QLINEAR_CONV, steps_output

# The same function under a name that no library registers, so that every runtime runs its body.
ORACLE = GATED_QLINEAR_CONV + ORACLE_SUFFIX


def count_steps(graph: gs.Graph) -> int:
    """Add the output `steps.<layer>` [N], int32, of every `SanpGatedQLinearConv`: the largest distance of a byte of the
    sample from what the function body computes from the same bytes.

    Each layer reads what the kernel before it wrote, so distances do not add up along the network.
    """
    known = {output.name for output in graph.outputs}
    changes = 0
    for conv in [node for node in graph.nodes if node.op == GATED_QLINEAR_CONV]:
        layer, result = layer_of(conv), conv.outputs[0]
        if steps_output(layer) in known:
            continue
        body = gs.Variable(f"{layer}.oracle", np.uint8, result.shape)
        graph.nodes.append(
            gs.Node(ORACLE, f"{layer}/oracle", dict(conv.attrs), list(conv.inputs), [body], domain=DOMAIN)
        )
        found, expected = (_emit(graph, f"{layer}/wide_{index}", "Cast", [item], {"to": 6}, item.shape)
                           for index, item in enumerate((result, body)))  # fmt: skip
        apart = _emit(graph, f"{layer}/apart", "Sub", [found, expected], {}, result.shape)
        size = _emit(graph, f"{layer}/distance", "Abs", [apart], {}, result.shape)
        axes = gs.Constant(f"{layer}.axes", np.array([1, 2, 3]))
        largest = gs.Variable(steps_output(layer), np.int32, [result.shape[0]])
        graph.nodes.append(gs.Node("ReduceMax", f"{layer}/steps", {"keepdims": 0}, [size, axes], [largest]))
        graph.outputs.append(largest)
        changes += 1
    return changes


def _emit(
    graph: gs.Graph, name: str, op: str, inputs: list[gs.Tensor], attributes: dict[str, int], shape: list[int | str]
) -> gs.Tensor:
    made = gs.Variable(f"{name}.value", np.int32, shape)
    graph.nodes.append(gs.Node(op, name, attributes, inputs, [made]))
    return made
