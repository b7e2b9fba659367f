"""ONNX graphs of int8 layers and networks: gated ones on our operators, single dense ones on ONNX's QLinearConv.

Weights are those of `graphs`, rounded per output channel and symmetric; activations are unsigned bytes with one step
per tensor, zero point 0 behind a ReLU and 128 elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from benchmarks.networks import graphs
from benchmarks.networks.shapes import Conv, Layer, Network


def quantise_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 [Co, ...] and the float32 step of every output channel [Co]."""
    step = (np.abs(weights).reshape(len(weights), -1).max(1) / 127).astype(np.float32)
    step = np.where(step > 0, step, np.float32(1))
    return np.rint(weights / step.reshape(-1, 1, 1, 1)).astype(np.int8), step


def step_and_zero(largest: float, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Step and zero point of a tensor whose magnitudes reach `largest`."""
    return np.float32(largest / (127 if signed else 255)), np.uint8(128 if signed else 0)


def _gated_node(name: str, inputs: list[str], layer: Layer, relu: bool) -> NodeProto:
    return helper.make_node(
        "SanpGatedQLinearConv", inputs, [name], domain="sanp", strides=[layer.stride] * 2, pads=[layer.pad] * 4,
        dilations=[1, 1], group=layer.group, act_min=0.0 if relu else -math.inf, act_max=math.inf,
    )  # fmt: skip


def _model(nodes: list, inputs: list, output: tuple[str, int], constants: dict[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        nodes, "int8", [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(*output, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sanp", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def _layer_constants(layer: Layer, weights: np.ndarray) -> dict[str, np.ndarray]:
    """x in [0, 2.55], and a step of y that a random layer fills: ReLU, so every zero point is 0."""
    w, w_scale = quantise_weights(weights)
    zero = np.uint8(0)
    return {"w": w, "w_scale": w_scale, "x_scale": np.float32(0.01), "x_zero": zero, "y_scale": np.float32(0.02),
            "y_zero": zero}  # fmt: skip


def gated_layer(layer: Layer, weights: np.ndarray) -> bytes:
    """One SanpGatedQLinearConv with ReLU: x uint8, and its masks scale, shift and active as inputs."""
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "scale", "shift", "active", "y_zero", "y_scale", "y_zero",
             "y_scale", "y_zero"]  # fmt: skip
    inputs = [("x", TensorProto.UINT8, [1, layer.c_in, layer.size, layer.size]),
              ("scale", TensorProto.FLOAT, [1, layer.c_out]), ("shift", TensorProto.FLOAT, [1, layer.c_out]),
              ("active", TensorProto.FLOAT, [1, layer.c_in])]  # fmt: skip
    return _model(
        [_gated_node("y", names, layer, True)], inputs, ("y", TensorProto.UINT8), _layer_constants(layer, weights)
    )


def dense_layer(layer: Layer, weights: np.ndarray) -> bytes:
    """One QLinearConv on the same bytes; zero point 0 is its ReLU."""
    constants = _layer_constants(layer, weights) | {"w_zero": np.zeros(layer.c_out, np.int8)}
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
    node = helper.make_node("QLinearConv", names, ["y"], strides=[layer.stride] * 2, pads=[layer.pad] * 4,
                            kernel_shape=[layer.kernel] * 2, group=layer.group)  # fmt: skip
    inputs = [("x", TensorProto.UINT8, [1, layer.c_in, layer.size, layer.size])]
    return _model([node], inputs, ("y", TensorProto.UINT8), constants)


def with_every_tensor(model: bytes, network: Network) -> bytes:
    """The float network with the output of every convolution as an output of the graph: what ranges are read from."""
    made = onnx.load_from_string(model)
    known = {output.name for output in made.graph.output}
    made.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in network.convs if name not in known
    )
    return made.SerializeToString()


def gated_network(network: Network, rng: np.random.Generator, largest: dict[str, float]) -> bytes:
    """The network of `graphs.gated_network` with the same generator, on bytes between its first and last convolution.

    largest: the magnitude that x and the output of every convolution reach. Image and logits are float32; max pools
    take bytes, the mean and the classifier float32.
    """
    float_model = onnx.load_from_string(graphs.gated_network(network, rng))
    weights = {item.name: numpy_helper.to_array(item) for item in float_model.graph.initializer}
    constants = {name: value for name, value in weights.items() if name.startswith("head.")}
    signed = {"x": True, **{name: not conv.relu for name, conv in network.convs.items()}}
    for name, is_signed in signed.items():
        constants[f"{name}.step"], constants[f"{name}.zero"] = step_and_zero(largest[name], is_signed)
    quantised = {"x": "x"}  # tensor -> the convolution (or the image) whose step it has
    nodes = [helper.make_node("QuantizeLinear", ["x", "x.step", "x.zero"], ["x.bytes"])]
    for node in float_model.graph.node:
        name = node.output[0]
        if node.op_type == "SanpGatedConv":
            conv = network.nodes[name]
            assert isinstance(conv, Conv)
            source, constants[f"{name}.w"], w_scale = quantised[conv.source], *quantise_weights(weights[f"{name}.w"])
            constants[f"{name}.w_scale"] = w_scale
            other = quantised[conv.residual] if conv.residual else source
            residual = f"{conv.residual}.bytes" if conv.residual else f"{source}.zero"
            nodes.append(_gated_node(f"{name}.bytes", [
                f"{conv.source}.bytes", f"{source}.step", f"{source}.zero", f"{name}.w", f"{name}.w_scale",
                f"{name}.scale", f"{name}.shift", f"{name}.active", residual, f"{other}.step", f"{other}.zero",
                f"{name}.step", f"{name}.zero",
            ], conv.layer, conv.relu))  # fmt: skip
            quantised[name] = name
        elif node.op_type == "MaxPool":
            quantised[name] = quantised[node.input[0]]
            attributes = {"pads": [0] * 4} | {item.name: list(item.ints) for item in node.attribute}
            nodes.append(helper.make_node(
                "SanpMaxPool", [f"{node.input[0]}.bytes"], [f"{name}.bytes"], domain="sanp", **attributes
            ))  # fmt: skip
        elif node.input[0] in quantised:
            source = quantised[node.input[0]]
            inputs = [f"{node.input[0]}.bytes", f"{source}.step", f"{source}.zero"]
            nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{node.input[0]}.real"]))
            node.input[0] = f"{node.input[0]}.real"
            nodes.append(node)
        else:
            nodes.append(node)
    inputs = [
        (value.name, TensorProto.FLOAT, [d.dim_value for d in value.type.tensor_type.shape.dim])
        for value in float_model.graph.input
    ]
    return _model(nodes, inputs, ("y", TensorProto.FLOAT), constants)
