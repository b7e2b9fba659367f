"""QuantizeLinear and DequantizeLinear in front of convolutions: how TensorRT is told to multiply bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.byte_steps import byte_weights
from sanp_export.graph.layer_table import module_name
from sanp_export.graph.patterns import WEIGHT, X, constant, layer_of
from sanp_runtime.contract import CONV_SUFFIX, GATED_CONV


def quantise_inputs(graph: gs.Graph, layers: Collection[str], steps: Mapping[str, float]) -> int:
    """Round what these convolutions read, and their weights, to signed bytes with the zero point 0, and back.

    steps: of what they read, by name of the tensor. Weights have a step for each output channel, those of
    `byte_weights`. A builder that finds such pairs on both inputs of a convolution computes it on bytes; the graph
    means the same in every runtime. Layers with a gate, or dense ones; others, and those that are done, stay as they
    are.
    """
    # All names before the first change: a name counts the readers of its weights.
    found = {id(node): _layer(node) for node in graph.nodes if node.op in (GATED_CONV, "Conv")}
    rounded: dict[int, gs.Tensor] = {}
    changes = 0
    for node in [node for node in graph.nodes if found.get(id(node)) in layers]:
        weights, x, layer = constant(node.inputs[WEIGHT]), node.inputs[X], found[id(node)]
        if weights is None:
            continue
        if id(x) not in rounded:
            rounded[id(x)] = _pair(graph, x.name, x, np.array(steps[x.name], np.float32), {})
        node.inputs[X] = rounded[id(x)]
        source = gs.Constant(f"{layer}.weight", weights)
        node.inputs[WEIGHT] = _pair(graph, f"{layer}.weight", source, byte_weights(weights)[1], {"axis": 0})
        changes += 1
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    return changes


def _layer(node: gs.Node) -> str:
    """A gated layer, one that was made dense, or a module without a gate."""
    if node.op == GATED_CONV or node.name.endswith(CONV_SUFFIX):
        return layer_of(node)
    return module_name(node)


def _pair(graph: gs.Graph, name: str, tensor: gs.Tensor, step: np.ndarray, attributes: dict[str, int]) -> gs.Tensor:
    size = gs.Constant(f"{name}.step", step)
    zero = gs.Constant(f"{name}.zero", np.zeros(step.shape, np.int8))
    codes = gs.Variable(f"{name}.bytes", np.int8, tensor.shape)
    real = gs.Variable(f"{name}.rounded", np.float32, tensor.shape)
    graph.nodes.append(gs.Node("QuantizeLinear", f"{name}/quantise", attributes, [tensor, size, zero], [codes]))
    graph.nodes.append(gs.Node("DequantizeLinear", f"{name}/dequantise", attributes, [codes, size, zero], [real]))
    return real
