"""Gated networks whose masks are inputs, as the exporter writes them: with gates computed, or with masks only."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import helper, numpy_helper

from benchmarks.networks.graphs import dense_network, gated_network
from benchmarks.networks.shapes import Conv, Network
from sanp_export.functions import channel_gate_function, gated_conv_function
from sanp_export.graph.patterns import OPEN_OP, OPEN_SUFFIX
from sanp_export.passes.connect_active import connect_active
from sanp_export.passes.fuse_blocks import fuse_blocks
from sanp_runtime.contract import CHANNEL_GATE, DOMAIN, GATED_CONV, conv_node, gate_node

# What a saliency may add to 1: maps grow through the blocks of deep networks, and with it they would grow without end.
SMALL = 1e-3


def controlled(network: Network, gates: bool) -> onnx.ModelProto:
    """The gated network as `sanp export` wires it, batch 1, with a control input `<layer>.mask` [1, Co] for each gate.

    gates: every gated layer computes its saliency and a gate that is always open, so that the mask decides and the
    gates cost what they cost. Without it the mask is the scale, as in the variant `replay` of a bundle. Layers that
    follow a decision open where that one does; those that no gate reaches are standard operators. The file has no
    function bodies: it runs in our kernels or not at all. The weights are those of `dense`.
    """
    model = onnx.load_from_string(gated_network(network, np.random.default_rng(2)))
    rng, nodes, constants = np.random.default_rng(3), [], {}
    for node in model.graph.node:
        if node.op_type == GATED_CONV:
            name = node.output[0]
            conv = network.nodes[name]
            nodes += _decision(name, conv, gates, constants, rng)
            constants[f"{name}.active"] = np.ones((1, conv.layer.c_in), np.float32)
            node.name = conv_node(name)
        elif node.op_type == "Conv":
            node.name = node.input[1].removesuffix(".w")  # of the layer, where passes look for it
        nodes.append(node)
    gated = {name: conv for name, conv in network.convs.items() if conv.mask == "own"}
    masks = [helper.make_tensor_value_info(f"{name}.mask", 1, [1, c.layer.c_out]) for name, c in gated.items()]
    weights = [*model.graph.initializer, *(numpy_helper.from_array(value, key) for key, value in constants.items())]
    inputs, outputs = [model.graph.input[0], *masks], list(model.graph.output)
    model.graph.CopyFrom(helper.make_graph(nodes, "controlled", inputs, outputs, weights))
    return _connected(model, network)


def _decision(name: str, conv: Conv, gates: bool, constants: dict, rng: np.random.Generator) -> list[onnx.NodeProto]:
    """The nodes that make the scale and the shift of one layer."""
    width, scale, shift = conv.layer.c_out, f"{name}.scale", f"{name}.shift"
    if conv.mask == "open":
        constants |= {scale: np.ones((1, width), np.float32), shift: np.zeros((1, width), np.float32)}
        return []
    constants[f"{name}.bias"] = np.zeros(width, np.float32)
    if conv.mask == "own" and gates:
        return [_gate(name, conv, constants, rng)]
    if conv.mask == "own":
        source = helper.make_node("Identity", [f"{name}.mask"], [scale], f"{gate_node(name)}/scale")
    else:
        source = helper.make_node(OPEN_OP, [f"{conv.mask}.scale"], [scale], name=name + OPEN_SUFFIX)
    return [source, helper.make_node("Mul", [scale, f"{name}.bias"], [shift])]


def _gate(name: str, conv: Conv, constants: dict, rng: np.random.Generator) -> onnx.NodeProto:
    """A saliency module of the published size, whose saliencies stay near 1 so that activations keep their size."""
    c_in, c_out = conv.layer.c_in, conv.layer.c_out
    hidden = max(4, c_in // 16)
    constants |= {
        f"{name}.w1": (rng.standard_normal((hidden, c_in)) / np.sqrt(c_in)).astype(np.float32),
        f"{name}.b1": np.zeros(hidden, np.float32),
        f"{name}.w2": (SMALL * rng.standard_normal((c_out, hidden)) / np.sqrt(hidden)).astype(np.float32),
        f"{name}.b2": np.ones(c_out, np.float32),
    }
    inputs = [conv.source, *(f"{name}.{key}" for key in ("w1", "b1", "w2", "b2", "bias", "mask"))]
    outputs = [f"{name}.scale", f"{name}.shift"]
    return helper.make_node(CHANNEL_GATE, inputs, outputs, gate_node(name), domain=DOMAIN, threshold=0.0, k=0)


def _connected(model: onnx.ModelProto, network: Network) -> onnx.ModelProto:
    """Every layer told which channels it reads are zero, by the pass of `sanp export`."""
    graph = gs.import_onnx(model)
    dense = onnx.load_from_string(dense_network(network, np.random.default_rng(2)))
    # Passes ask for channels, and the maps of both networks have the same names.
    inferred = onnx.shape_inference.infer_shapes(dense).graph.value_info
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred}
    for name, conv in network.convs.items():
        shapes |= {f"{name}.{end}": [1, conv.layer.c_out] for end in ("scale", "shift")}
    for name, tensor in graph.tensors().items():
        if name in shapes and isinstance(tensor, gs.Variable):
            tensor.shape, tensor.dtype = shapes[name], np.float32
    connect_active(graph)
    made = gs.export_onnx(graph.cleanup(remove_unused_graph_inputs=False).toposort(), do_type_check=False)
    made.ir_version = model.ir_version
    return made


def fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """A controlled network with its inverted residual blocks as one node each, by the pass of `sanp compile`."""
    graph = gs.import_onnx(model)
    fuse_blocks(graph)
    made = gs.export_onnx(graph, do_type_check=False)
    made.ir_version = model.ir_version
    return made


def with_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that carries the function bodies of the operators: the oracle, which runs without our library."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.functions.extend([gated_conv_function(), channel_gate_function()])
    return copy
