"""The networks of the comparison, made from those of py: controlled by masks, narrowed, batched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import helper, numpy_helper

from benchmarks.networks.graphs import dense_network, gated_network
from benchmarks.networks.masks import network_cost, network_masks
from benchmarks.networks.shapes import Conv, Network
from benchmarks.sessions import session
from sanp_export.functions import channel_gate_function, gated_conv_function
from sanp_export.graph.byte_steps import ranged_tensors, step_of
from sanp_export.graph.patterns import gated_convs, layer_of
from sanp_export.passes.quantise_layers import quantise_layers
from sanp_runtime.contract import GATED_CONV, conv_node

# Below this the widths of a narrow network cannot come close to any cost of interest.
_WIDTHS = np.arange(0.05, 1.0, 0.001)


def thinner(network: Network, width: float) -> Network:
    """Every layer with `width` times the channels, at least one."""
    return _resized(network, lambda channels: max(1, round(channels * width)))


def narrowed(network: Network, cost: float, multiple: int) -> Network:
    """The network whose layers are all narrowed by one factor, to channel counts that are multiples of `multiple`.

    The factor is the one whose multiply-adds come closest to `cost` times those of `network`.
    """

    def at(width: float) -> Network:
        return _resized(network, lambda channels: max(multiple, int(channels * width / multiple + 0.5) * multiple))

    return at(min(_WIDTHS, key=lambda width: abs(at(width).macs / network.macs - cost)))


def _resized(network: Network, resize: Callable[[int], int]) -> Network:
    result, channels = Network(network.size), {"x": 3}
    for name, node in network.nodes.items():
        if isinstance(node, Conv):
            channels[name] = resize(node.layer.c_out)
            layer = dataclasses.replace(node.layer, c_in=channels[node.source], c_out=channels[name])
            result.nodes[name] = dataclasses.replace(node, layer=layer)
        else:
            channels[name] = channels[node[1]]
            result.nodes[name] = node
    return result


def at_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy whose graph inputs have `batch` as first dimension; what was inferred for another batch is dropped."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    return copy


def dense(network: Network) -> onnx.ModelProto:
    """Standard operators, batch 1."""
    return onnx.load_from_string(dense_network(network, np.random.default_rng(2)))


def controlled(network: Network, gates: bool) -> onnx.ModelProto:
    """The gated network with one control input `<layer>.mask` [1, Co] per layer, as `sanp export` wires it, batch 1.

    gates: every layer computes its saliency and a gate that is always open, so that the mask decides and the gates cost
    what they cost. Without it the mask is the scale, as in the variant `replay` of a bundle. The file has no function
    bodies: it runs in our kernels or not at all. The weights are those of `dense`.
    """
    model = onnx.load_from_string(gated_network(network, np.random.default_rng(2)))
    rng, graph = np.random.default_rng(3), model.graph
    convs = {node.output[0]: node for node in graph.node if node.op_type == "SanpGatedConv"}
    nodes, support = [], {"x": "all_active"}
    constants = {"all_active": np.ones((1, 3), np.float32)}
    for node in graph.node:
        name = node.output[0]
        if name in convs:
            conv = network.nodes[name]
            nodes += (_gate if gates else _mask_only)(name, conv, constants, rng)
            node.input[4] = support[conv.source]
            nodes.append(node)
            support[name] = f"{name}.scale"
            if conv.residual:
                # Scales are never negative: the sum is zero exactly where both are.
                support[name] = f"{name}.support"
                nodes.append(helper.make_node("Add", [f"{name}.scale", support[conv.residual]], [support[name]]))
        else:
            nodes.append(node)
            support[name] = support.get(node.input[0], "")
    masks = [helper.make_tensor_value_info(f"{k}.mask", 1, [1, c.layer.c_out]) for k, c in network.convs.items()]
    image = graph.input[0]
    replacement = helper.make_graph(nodes, "controlled", [image, *masks], list(graph.output), list(graph.initializer))
    replacement.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    model.graph.CopyFrom(replacement)
    return model


def _gate(name: str, conv: Conv, constants: dict, rng: np.random.Generator) -> list[onnx.NodeProto]:
    """A saliency module of the published size, whose saliencies stay near 1 so that activations keep their size."""
    c_in, c_out = conv.layer.c_in, conv.layer.c_out
    hidden = max(4, c_in // 16)
    constants |= {
        f"{name}.w1": (rng.standard_normal((hidden, c_in)) / np.sqrt(c_in)).astype(np.float32),
        f"{name}.b1": np.zeros(hidden, np.float32),
        f"{name}.w2": (0.1 * rng.standard_normal((c_out, hidden)) / np.sqrt(hidden)).astype(np.float32),
        f"{name}.b2": np.ones(c_out, np.float32),
        f"{name}.bias": np.zeros(c_out, np.float32),
    }
    inputs = [conv.source, *(f"{name}.{key}" for key in ("w1", "b1", "w2", "b2", "bias", "mask"))]
    outputs = [f"{name}.scale", f"{name}.shift"]
    return [helper.make_node("SanpChannelGate", inputs, outputs, domain="sanp", threshold=0.0, k=0)]


def _mask_only(name: str, conv: Conv, constants: dict, rng: np.random.Generator) -> list[onnx.NodeProto]:
    constants[f"{name}.bias"] = np.zeros(conv.layer.c_out, np.float32)
    return [
        helper.make_node("Identity", [f"{name}.mask"], [f"{name}.scale"]),
        helper.make_node("Mul", [f"{name}.mask", f"{name}.bias"], [f"{name}.shift"]),
    ]


def with_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that carries the function bodies of the operators: the oracle, which runs without our library."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.functions.extend([gated_conv_function(), channel_gate_function()])
    return copy


def on_bytes(model: onnx.ModelProto, feeds: Sequence[dict[str, np.ndarray]]) -> onnx.ModelProto:
    """A controlled network with every gated layer on bytes, by the pass of `sanp compile --int8`.

    feeds: inputs of `model`, whose feature maps give the ranges.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for node in named.graph.node:
        if node.op_type == GATED_CONV:
            node.name = conv_node(node.output[0])
    graph = gs.import_onnx(named)
    names = [tensor.name for tensor in ranged_tensors(graph)]
    steps = {name: step_of(low, high) for name, (low, high) in _ranges(model, names, feeds).items()}
    quantise_layers(graph, [layer_of(conv) for conv in gated_convs(graph)], steps)
    made = gs.export_onnx(graph, do_type_check=False)
    made.ir_version = model.ir_version
    return made


def _ranges(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[dict[str, np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of these feature maps, in plain ONNX Runtime."""
    inside = [name for name in names if name != "x"]
    oracle = with_functions(model)
    known = {output.name for output in oracle.graph.output}
    oracle.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside if name not in known)
    plain = session(oracle.SerializeToString())
    values = [{"x": feed["x"], **dict(zip(inside, plain.run(inside, feed)))} for feed in feeds]
    return {name: (min(v[name].min() for v in values), max(v[name].max() for v in values)) for name in names}


def draw_masks(network: Network, keep: float, batch: int, seeds: Sequence[int]) -> tuple[list[dict], float]:
    """For every seed the control inputs of one batch, another draw for each sample, and the mean cost of all of them.

    The cost is kept over dense multiply-adds of the convolutions. An addition keeps the union of its inputs.
    """
    sets, costs = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        samples = [network_masks(network, keep, rng) for _ in range(batch)]
        costs += [network_cost(network, sample) for sample in samples]
        sets.append({f"{k}.mask": np.concatenate([s[f"{k}.scale"] for s in samples]) for k in network.convs})
    return sets, float(np.mean(costs))
