"""ONNX graphs of single layers and whole networks with random weights, dense and gated."""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from benchmarks.networks.blocks import block_node, blocks_of
from benchmarks.networks.masks import never_gated
from benchmarks.networks.shapes import Conv, Layer, Network
from benchmarks.networks.steps import step_nodes


def random_weights(layer: Layer, rng: np.random.Generator) -> np.ndarray:
    """He initialisation, so that activations keep their size through the networks."""
    c_in = layer.c_in // layer.group
    shape = (layer.c_out, c_in, layer.kernel, layer.kernel)
    return (rng.standard_normal(shape) * math.sqrt(2 / (c_in * layer.kernel**2))).astype(np.float32)


def _gated_node(name: str, source: str, layer: Layer, active: str, residual: str, relu: bool) -> NodeProto:
    return helper.make_node(
        "SanpGatedConv", [source, f"{name}.w", f"{name}.scale", f"{name}.shift", active, residual], [name],
        domain="sanp", strides=[layer.stride] * 2, pads=[layer.pad] * 4, dilations=[1, 1],
        group=layer.group, act_min=0.0 if relu else -math.inf, act_max=math.inf,
    )  # fmt: skip


def _conv_nodes(name: str, source: str, layer: Layer, residual: str, relu: bool) -> list:
    conv = {"strides": [layer.stride] * 2, "pads": [layer.pad] * 4, "kernel_shape": [layer.kernel] * 2,
            "group": layer.group}  # fmt: skip
    steps = [("Conv", [source, f"{name}.w", f"{name}.b"], conv)]
    if residual:
        steps.append(("Add", ["", residual], {}))
    if relu:
        steps.append(("Relu", [""], {}))
    nodes = []
    for i, (op, inputs, attributes) in enumerate(steps):
        output = name if i + 1 == len(steps) else f"{name}.{i}"
        nodes.append(helper.make_node(op, [s or nodes[-1].output[0] for s in inputs], [output], **attributes))
    return nodes


def model_bytes(nodes: list, inputs: list, output: str, constants: dict[str, np.ndarray]) -> bytes:
    """A serialised model; `inputs` pairs names with shapes."""
    graph = helper.make_graph(
        nodes, "bench", [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sanp", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def dense_layer(layer: Layer, weights: np.ndarray) -> bytes:
    """Conv + Relu, as ONNX Runtime fuses it."""
    constants = {"y.w": weights, "y.b": np.zeros(layer.c_out, np.float32)}
    nodes = _conv_nodes("y", "x", layer, "", True)
    return model_bytes(nodes, [("x", [1, layer.c_in, layer.size, layer.size])], "y", constants)


def gated_layer(layer: Layer, weights: np.ndarray, algorithm: str = "") -> bytes:
    """One SanpGatedConv with its masks as inputs; `algorithm` "": the choice of the library."""
    node = _gated_node("y", "x", layer, "active", "zero", True)
    node.input[2], node.input[3] = "scale", "shift"
    if algorithm:
        node.attribute.append(helper.make_attribute("algorithm", algorithm))
    inputs = [("x", [1, layer.c_in, layer.size, layer.size]), ("scale", [1, layer.c_out]), ("shift", [1, layer.c_out]),
              ("active", [1, layer.c_in])]  # fmt: skip
    return model_bytes([node], inputs, "y", {"y.w": weights, "zero": np.zeros(1, np.float32)})


def _head(network: Network, rng: np.random.Generator, constants: dict) -> list:
    width = list(network.convs.values())[-1].layer.c_out
    constants["head.w"] = (rng.standard_normal((10, width)) / math.sqrt(width)).astype(np.float32)
    constants["head.b"] = np.zeros(10, np.float32)
    return [helper.make_node("Flatten", ["pool"], ["flat"]),
            helper.make_node("Gemm", ["flat", "head.w", "head.b"], ["y"], transB=1)]  # fmt: skip


def _dense_nodes(network: Network, rng: np.random.Generator, constants: dict) -> list:
    nodes = []
    for name, node in network.nodes.items():
        if not isinstance(node, Conv):
            nodes += step_nodes(name, node, constants)
            continue
        constants[f"{name}.w"] = random_weights(node.layer, rng)
        constants[f"{name}.b"] = np.zeros(node.layer.c_out, np.float32)
        nodes += _conv_nodes(name, node.source, node.layer, node.residual, node.relu)
    return nodes


def _gated_nodes(network: Network, rng: np.random.Generator, fused: bool, constants: dict, inputs: list) -> list:
    nodes = []
    constants["zero"] = np.zeros(1, np.float32)
    blocks = {block.project: block for block in blocks_of(network)} if fused else {}
    inner = {name for block in blocks.values() for name in (block.expand, block.depthwise)}
    never = never_gated(network)
    for name, node in network.nodes.items():
        if not isinstance(node, Conv):
            nodes += step_nodes(name, node, constants)
            continue
        constants[f"{name}.w"] = random_weights(node.layer, rng)
        if name in blocks:
            constants[f"{blocks[name].depthwise}.b"] = np.zeros(node.layer.c_in, np.float32)
            nodes.append(block_node(blocks[name], network))
        elif name in never:
            constants[f"{name}.b"] = np.zeros(node.layer.c_out, np.float32)
            nodes += _conv_nodes(name, node.source, node.layer, node.residual, node.relu)
        elif name not in inner:
            residual = node.residual or "zero"
            nodes.append(_gated_node(name, node.source, node.layer, f"{name}.active", residual, node.relu))
        inputs += [(f"{name}.scale", [1, node.layer.c_out]), (f"{name}.shift", [1, node.layer.c_out]),
                   (f"{name}.active", [1, node.layer.c_in])]  # fmt: skip
    return nodes


def dense_network(network: Network, rng: np.random.Generator) -> bytes:
    """The network of standard operators."""
    constants: dict[str, np.ndarray] = {}
    nodes = _dense_nodes(network, rng, constants)
    nodes += _head(network, rng, constants)
    return model_bytes(nodes, [("x", [1, 3, network.size, network.size])], "y", constants)


def gated_network(network: Network, rng: np.random.Generator, fused: bool = False) -> bytes:
    """Scales, shifts and active channels as graph inputs; the weights of dense_network with the same generator.

    Convolutions that no gate reaches stay standard operators, as an export leaves them.
    fused: inverted residual blocks as one node each.
    """
    constants: dict[str, np.ndarray] = {}
    inputs = [("x", [1, 3, network.size, network.size])]
    nodes = _gated_nodes(network, rng, fused, constants, inputs)
    nodes += _head(network, rng, constants)
    return model_bytes(nodes, inputs, "y", constants)


def dense_part(network: Network, rng: np.random.Generator) -> bytes:
    """A part of a network, without a head: its last convolution is the output, x has the channels of its first one."""
    constants: dict[str, np.ndarray] = {}
    nodes = _dense_nodes(network, rng, constants)
    inputs = [("x", [1, network.channels, network.size, network.size])]
    return model_bytes(nodes, inputs, list(network.convs)[-1], constants)


def gated_part(network: Network, rng: np.random.Generator, fused: bool) -> bytes:
    """The same, gated as in `gated_network`."""
    constants: dict[str, np.ndarray] = {}
    inputs = [("x", [1, network.channels, network.size, network.size])]
    nodes = _gated_nodes(network, rng, fused, constants, inputs)
    return model_bytes(nodes, inputs, list(network.convs)[-1], constants)
