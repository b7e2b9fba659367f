"""Shapes of single convolutions and of three whole networks for 32 x 32 images."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_POOL_3X3 = "MaxPool3x3"  # a node that takes the largest of 3x3 pixels with a stride of 2


@dataclass(frozen=True)
class Layer:
    """One convolution: channels, input size, kernel, stride, padding, groups. As many groups as channels: depthwise."""

    c_in: int
    c_out: int
    size: int
    kernel: int = 3
    stride: int = 1
    pad: int = 1
    group: int = 1

    @property
    def out(self) -> int:
        """Height and width of the output."""
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Dense multiply-adds."""
        return self.out**2 * self.c_out * self.c_in * self.kernel**2 // self.group

    @property
    def name(self) -> str:
        """Such as `64-128 3x3/2 @32` or `96-96 3x3/2 depthwise @112`."""
        stride = f"/{self.stride}" if self.stride > 1 else ""
        groups = {1: "", self.c_in: " depthwise"}.get(self.group, f" in {self.group} groups")
        return f"{self.c_in}-{self.c_out} {self.kernel}x{self.kernel}{stride}{groups} @{self.size}"


@dataclass
class Conv:
    """A convolution of a network: its layer, where it reads, what it adds, and whose mask it has.

    mask: "own", "open" for a layer without a gate, or the name of the convolution whose decision it follows.
    """

    layer: Layer
    source: str
    residual: str = ""
    relu: bool = True
    mask: str = "own"


@dataclass
class Network:
    """Nodes by output name, in order: a Conv, or a step such as ("GlobalAveragePool", source), see steps.py."""

    size: int
    nodes: dict = field(default_factory=dict)

    @property
    def convs(self) -> dict[str, Conv]:
        """The convolutions by output name."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, Conv)}

    @property
    def channels(self) -> int:
        """Of the input: those of the first convolution."""
        return next(iter(self.convs.values())).layer.c_in

    @property
    def macs(self) -> int:
        """Dense multiply-adds of all convolutions."""
        return sum(c.layer.macs for c in self.convs.values())


def m_cifarnet() -> Network:
    """Eight 3x3 convolutions, the first without padding."""
    net, source = Network(32), "x"
    plan = [(3, 64, 32, 1, 0), (64, 64, 30, 1, 1), (64, 128, 30, 2, 1), (128, 128, 15, 1, 1), (128, 128, 15, 1, 1),
            (128, 192, 15, 2, 1), (192, 192, 8, 1, 1), (192, 192, 8, 1, 1)]  # fmt: skip
    for i, (c_in, c_out, size, stride, pad) in enumerate(plan):
        net.nodes[f"conv{i}"] = Conv(Layer(c_in, c_out, size, 3, stride, pad), source)
        source = f"conv{i}"
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


def vgg19() -> Network:
    """Sixteen 3x3 convolutions with max pooling, for 32 x 32."""
    net, source, c_in, size = Network(32), "x", 3, 32
    for i, c_out in enumerate(
        [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512]
    ):
        if c_out == 0:
            net.nodes[f"max{i}"] = ("MaxPool", source)
            source, size = f"max{i}", size // 2
        else:
            net.nodes[f"conv{i}"] = Conv(Layer(c_in, c_out, size), source)
            source, c_in = f"conv{i}", c_out
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


def resnet18() -> Network:
    """The 32 x 32 form with 1x1 projection shortcuts."""
    net = Network(32)
    net.nodes["stem"] = Conv(Layer(3, 64, 32), "x")
    source, c_in, size = "stem", 64, 32
    for stage, c_out in enumerate([64, 128, 256, 512]):
        for block in range(2):
            stride, name = (2 if stage and not block else 1), f"s{stage}b{block}"
            shortcut = source
            if stride == 2:
                shortcut = f"{name}.down"
                net.nodes[shortcut] = Conv(Layer(c_in, c_out, size, 1, 2, 0), source, relu=False)
            net.nodes[f"{name}.a"] = Conv(Layer(c_in, c_out, size, 3, stride), source)
            size //= stride
            net.nodes[f"{name}.b"] = Conv(Layer(c_out, c_out, size), f"{name}.a", shortcut)
            source, c_in = f"{name}.b", c_out
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


NETWORKS = {"m-cifarnet": m_cifarnet, "vgg19": vgg19, "resnet18": resnet18}
# Cost of the pruned network as a fraction of the dense one: the operating points of the SANP paper.
OPERATING_POINTS = {"resnet18": 0.325, "vgg19": 0.336, "m-cifarnet": 0.225}
