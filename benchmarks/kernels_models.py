"""Layer tables and ONNX models for kernels.py: every convolution and three whole networks, dense and gated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Layer:
    """One convolution: channels, input size, kernel, stride, padding."""

    ci: int
    co: int
    size: int
    kernel: int = 3
    stride: int = 1
    pad: int = 1
    networks: tuple[str, ...] = ()

    @property
    def out(self) -> int:
        """Height and width of the output."""
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Dense multiply-adds."""
        return self.out**2 * self.co * self.ci * self.kernel**2

    @property
    def name(self) -> str:
        """Such as `64-128 3x3/2 @32`."""
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.ci}-{self.co} {self.kernel}x{self.kernel}{stride} @{self.size}"


@dataclass
class Conv:
    """A gated convolution of a network: its layer, where it reads, and what it adds."""

    layer: Layer
    source: str
    residual: str = ""
    relu: bool = True


@dataclass
class Network:
    """Nodes by output name, in order: a Conv, or ("MaxPool" | "GlobalAveragePool", source)."""

    size: int
    nodes: dict = field(default_factory=dict)

    @property
    def convs(self) -> dict[str, Conv]:
        """The convolutions by output name."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, Conv)}

    @property
    def macs(self) -> int:
        """Dense multiply-adds of all convolutions."""
        return sum(c.layer.macs for c in self.convs.values())


def m_cifarnet() -> Network:
    """Eight 3x3 convolutions, the first without padding."""
    net, source = Network(32), "x"
    plan = [(3, 64, 32, 1, 0), (64, 64, 30, 1, 1), (64, 128, 30, 2, 1), (128, 128, 15, 1, 1), (128, 128, 15, 1, 1),
            (128, 192, 15, 2, 1), (192, 192, 8, 1, 1), (192, 192, 8, 1, 1)]  # fmt: skip
    for i, (ci, co, size, stride, pad) in enumerate(plan):
        net.nodes[f"conv{i}"] = Conv(Layer(ci, co, size, 3, stride, pad), source)
        source = f"conv{i}"
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


def vgg19() -> Network:
    """Sixteen 3x3 convolutions with max pooling, for 32 x 32."""
    net, source, ci, size = Network(32), "x", 3, 32
    for i, co in enumerate([64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512]):
        if co == 0:
            net.nodes[f"max{i}"] = ("MaxPool", source)
            source, size = f"max{i}", size // 2
        else:
            net.nodes[f"conv{i}"] = Conv(Layer(ci, co, size), source)
            source, ci = f"conv{i}", co
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


def resnet18() -> Network:
    """The 32 x 32 form with 1x1 projection shortcuts."""
    net = Network(32)
    net.nodes["stem"] = Conv(Layer(3, 64, 32), "x")
    source, ci, size = "stem", 64, 32
    for stage, co in enumerate([64, 128, 256, 512]):
        for block in range(2):
            stride, name = (2 if stage and not block else 1), f"s{stage}b{block}"
            shortcut = source
            if stride == 2:
                shortcut = f"{name}.down"
                net.nodes[shortcut] = Conv(Layer(ci, co, size, 1, 2, 0), source, relu=False)
            net.nodes[f"{name}.a"] = Conv(Layer(ci, co, size, 3, stride), source)
            size //= stride
            net.nodes[f"{name}.b"] = Conv(Layer(co, co, size), f"{name}.a", shortcut)
            source, ci = f"{name}.b", co
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


NETWORKS = {"m-cifarnet": m_cifarnet, "vgg19": vgg19, "resnet18": resnet18}


def imagenet_layers() -> dict[Layer, set[str]]:
    """Convolutions of ResNet-18 and ResNet-50 at 224 x 224."""
    found: dict[Layer, set[str]] = {}

    def add(name: str, *args: int) -> None:
        found.setdefault(Layer(*args), set()).add(name)

    for name in ("resnet18-224", "resnet50-224"):
        add(name, 3, 64, 224, 7, 2, 3)
    size, ci = 56, 64
    for stage, co in enumerate([64, 128, 256, 512]):
        if stage:
            add("resnet18-224", ci, co, size, 3, 2, 1)
            add("resnet18-224", ci, co, size, 1, 2, 0)
            size //= 2
        add("resnet18-224", co, co, size, 3, 1, 1)
        ci = co
    size, ci = 56, 64
    for stage, mid in enumerate([64, 128, 256, 512]):
        stride = 2 if stage else 1
        add("resnet50-224", ci, mid, size, 1, 1, 0)
        add("resnet50-224", ci, 4 * mid, size, 1, stride, 0)
        if stage:
            add("resnet50-224", mid, mid, size, 3, 2, 1)
            size //= 2
        add("resnet50-224", mid, mid, size, 3, 1, 1)
        add("resnet50-224", mid, 4 * mid, size, 1, 1, 0)
        add("resnet50-224", 4 * mid, mid, size, 1, 1, 0)
        ci = 4 * mid
    return found


def layers() -> list[Layer]:
    """Every distinct convolution of all networks, with the networks it occurs in."""
    found: dict[Layer, set[str]] = {}
    for name, make in NETWORKS.items():
        for conv in make().convs.values():
            found.setdefault(conv.layer, set()).add(name)
    for layer, names in imagenet_layers().items():
        found.setdefault(layer, set()).update(names)
    return [
        Layer(k.ci, k.co, k.size, k.kernel, k.stride, k.pad, tuple(sorted(names))) for k, names in found.items()
    ]  # fmt: skip


def random_weights(layer: Layer, rng: np.random.Generator) -> np.ndarray:
    """He initialisation, so that activations keep their size through the networks."""
    shape = (layer.co, layer.ci, layer.kernel, layer.kernel)
    return (rng.standard_normal(shape) * math.sqrt(2 / (layer.ci * layer.kernel**2))).astype(np.float32)


def random_mask(channels: int, keep: float, rng: np.random.Generator) -> np.ndarray:
    """[1, channels] of ones and zeros with round(keep * channels) ones, at least one."""
    mask = np.zeros((1, channels), np.float32)
    mask[0, rng.permutation(channels)[: max(1, round(keep * channels))]] = 1
    return mask


def _gated_node(name: str, source: str, layer: Layer, active: str, residual: str, relu: bool) -> NodeProto:
    return helper.make_node(
        "SanpGatedConv", [source, f"{name}.w", f"{name}.scale", f"{name}.shift", active, residual], [name],
        domain="sanp", strides=[layer.stride] * 2, pads=[layer.pad] * 4, dilations=[1, 1], group=1,
        act_min=0.0 if relu else -math.inf, act_max=math.inf,
    )  # fmt: skip


def _conv_nodes(name: str, source: str, layer: Layer, residual: str, relu: bool) -> list:
    conv = {"strides": [layer.stride] * 2, "pads": [layer.pad] * 4, "kernel_shape": [layer.kernel] * 2}
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


def _model(nodes: list, inputs: list, output: str, constants: dict[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        nodes, "bench", [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sanp", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def dense_layer(layer: Layer, weights: np.ndarray) -> bytes:
    """Conv + Relu, as ONNX Runtime fuses it."""
    constants = {"y.w": weights, "y.b": np.zeros(layer.co, np.float32)}
    nodes = _conv_nodes("y", "x", layer, "", True)
    return _model(nodes, [("x", [1, layer.ci, layer.size, layer.size])], "y", constants)


def gated_layer(layer: Layer, weights: np.ndarray) -> bytes:
    """One SanpGatedConv with its masks as inputs."""
    node = _gated_node("y", "x", layer, "active", "zero", True)
    node.input[2], node.input[3] = "scale", "shift"
    inputs = [("x", [1, layer.ci, layer.size, layer.size]), ("scale", [1, layer.co]), ("shift", [1, layer.co]),
              ("active", [1, layer.ci])]  # fmt: skip
    return _model([node], inputs, "y", {"y.w": weights, "zero": np.zeros(1, np.float32)})


def _head(network: Network, rng: np.random.Generator, constants: dict) -> list:
    width = list(network.convs.values())[-1].layer.co
    constants["head.w"] = (rng.standard_normal((10, width)) / math.sqrt(width)).astype(np.float32)
    constants["head.b"] = np.zeros(10, np.float32)
    return [helper.make_node("Flatten", ["pool"], ["flat"]),
            helper.make_node("Gemm", ["flat", "head.w", "head.b"], ["y"], transB=1)]  # fmt: skip


def _other(name: str, node: tuple[str, str]) -> NodeProto:
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]} if node[0] == "MaxPool" else {}
    return helper.make_node(node[0], [node[1]], [name], **attributes)


def dense_network(network: Network, rng: np.random.Generator) -> bytes:
    """The network of standard operators."""
    nodes, constants = [], {}
    for name, node in network.nodes.items():
        if not isinstance(node, Conv):
            nodes.append(_other(name, node))
            continue
        constants[f"{name}.w"] = random_weights(node.layer, rng)
        constants[f"{name}.b"] = np.zeros(node.layer.co, np.float32)
        nodes += _conv_nodes(name, node.source, node.layer, node.residual, node.relu)
    nodes += _head(network, rng, constants)
    return _model(nodes, [("x", [1, 3, network.size, network.size])], "y", constants)


def gated_network(network: Network, rng: np.random.Generator) -> bytes:
    """Scales, shifts and active channels as graph inputs; the weights of dense_network with the same generator."""
    nodes, constants = [], {"zero": np.zeros(1, np.float32)}
    inputs = [("x", [1, 3, network.size, network.size])]
    for name, node in network.nodes.items():
        if not isinstance(node, Conv):
            nodes.append(_other(name, node))
            continue
        constants[f"{name}.w"] = random_weights(node.layer, rng)
        nodes.append(_gated_node(name, node.source, node.layer, f"{name}.active", node.residual or "zero", node.relu))
        inputs += [(f"{name}.scale", [1, node.layer.co]), (f"{name}.shift", [1, node.layer.co]),
                   (f"{name}.active", [1, node.layer.ci])]  # fmt: skip
    nodes += _head(network, rng, constants)
    return _model(nodes, inputs, "y", constants)


def network_masks(network: Network, keep: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random gates for one sample, and the channels that can be non-zero: an addition takes the union of its inputs."""
    feeds: dict[str, np.ndarray] = {}
    support = {"x": np.ones((1, 3), np.float32)}
    for name, node in network.nodes.items():
        if not isinstance(node, Conv):
            support[name] = support[node[1]]
            continue
        scale = random_mask(node.layer.co, keep, rng)
        feeds[f"{name}.scale"], feeds[f"{name}.shift"] = scale, np.zeros_like(scale)
        feeds[f"{name}.active"] = support[node.source]
        support[name] = np.maximum(scale, support[node.residual]) if node.residual else scale
    return feeds


def network_cost(network: Network, masks: dict[str, np.ndarray]) -> float:
    """Kept multiply-adds over dense ones."""
    kept = sum(
        conv.layer.macs * float(masks[f"{name}.scale"].mean()) * float(masks[f"{name}.active"].mean())
        for name, conv in network.convs.items()
    )
    return kept / network.macs


def keep_for_cost(network: Network, cost: float) -> float:
    """The largest kept fraction of every layer at which random masks stay below `cost`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        rng = np.random.default_rng(0)
        reached = np.mean([network_cost(network, network_masks(network, middle, rng)) for _ in range(4)])
        low, high = (middle, high) if reached < cost else (low, middle)
    return low
