"""Networks of the edge, for 224 x 224 images or others: MobileNetV2 (1.0, 0.5), EfficientNet-Lite0, ResNet-50, RegNetX.

A gate on the expansion of a block decides for its depthwise layer too; the projection has none. ResNet-50 and RegNetX
have a gate on every convolution but the last of a block. No squeeze-and-excite, and ReLU for ReLU6: the same work.
"""

from __future__ import annotations

from functools import partial

from benchmarks.networks.shapes import MAX_POOL_3X3, Conv, Layer, Network

# Expansion, kernel, output channels, repetitions and first stride of each row.
MOBILENET_V2 = (
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 3, 32, 3, 2), (6, 3, 64, 4, 2), (6, 3, 96, 3, 1), (6, 3, 160, 3, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip  # Sandler et al., CVPR 2018, table 2
EFFICIENTNET_LITE0 = (
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip  # Tan and Le, ICML 2019, table 1, without squeeze-and-excite

RESNET_50 = ((64, 3), (128, 4), (256, 6), (512, 3))  # inner channels and blocks; He et al., CVPR 2016, table 1
REGNET_X_200MF = ((24, 1), (56, 1), (152, 4), (368, 7))  # channels and blocks; Radosavovic et al., CVPR 2020, table 7


def inverted_residuals(rows: tuple[tuple[int, int, int, int, int], ...], image: int, width: float = 1.0) -> Network:
    """A stem of 32 channels, the blocks of `rows`, and a 1x1 convolution to 1280 channels.

    width: what all channels but the last 1280 are multiplied by; they are rounded to multiples of eight.
    """
    net = Network(image)
    stem = round(32 * width / 8) * 8
    net.nodes["stem"] = Conv(Layer(3, stem, image, 3, 2, 1), "x", mask="open")
    source, c_in, size = "stem", stem, -(-image // 2)
    for row, (expansion, kernel, full, repetitions, first_stride) in enumerate(rows):
        c_out = int(full * width / 8 + 0.5) * 8
        for index in range(repetitions):
            stride, hidden, name = (first_stride if index == 0 else 1), expansion * c_in, f"r{row}b{index}"
            entry, gate = source, "open"
            if expansion > 1:
                entry = gate = f"{name}.expand"
                net.nodes[entry] = Conv(Layer(c_in, hidden, size, 1, 1, 0), source)
            depthwise = Layer(hidden, hidden, size, kernel, stride, kernel // 2, hidden)
            net.nodes[f"{name}.depthwise"] = Conv(depthwise, entry, mask=gate)
            size = depthwise.out
            residual = source if stride == 1 and c_in == c_out else ""
            project = Layer(hidden, c_out, size, 1, 1, 0)
            net.nodes[f"{name}.project"] = Conv(project, f"{name}.depthwise", residual, relu=False, mask="open")
            source, c_in = f"{name}.project", c_out
    net.nodes["head.conv"] = Conv(Layer(c_in, 1280, size, 1, 1, 0), source)
    net.nodes["pool"] = ("GlobalAveragePool", "head.conv")
    return net


def resnet50(image: int) -> Network:
    """The published form: stride in the 3x3 convolution, 1x1 projections."""
    net = Network(image)
    net.nodes["stem"] = Conv(Layer(3, 64, image, 7, 2, 3), "x", mask="open")
    net.nodes["pooled"] = (MAX_POOL_3X3, "stem")
    stages = [(width, 4 * width, blocks, 2 if width > 64 else 1) for width, blocks in RESNET_50]
    return bottlenecks(net, "pooled", 64, -(-image // 4), stages, group_width=0)


def regnet_x(image: int) -> Network:
    """RegNetX-200MF: grouped 3x3 convolutions of 8 channels a group, as wide as the block."""
    net = Network(image)
    net.nodes["stem"] = Conv(Layer(3, 32, image, 3, 2, 1), "x", mask="open")
    stages = [(width, width, blocks, 2) for width, blocks in REGNET_X_200MF]
    return bottlenecks(net, "stem", 32, -(-image // 2), stages, group_width=8)


def bottlenecks(
    net: Network, source: str, c_in: int, size: int, stages: list[tuple[int, int, int, int]], group_width: int
) -> Network:
    """Blocks of 1x1, 3x3 and 1x1 with a residual sum. stages: inner and outer channels, blocks, stride of the first.

    group_width: channels of a group of the 3x3 convolution, 0 for no groups.
    """
    for stage, (width, c_out, blocks, first_stride) in enumerate(stages):
        for block in range(blocks):
            stride, name, shortcut = (1 if block else first_stride), f"s{stage}b{block}", source
            if not block:
                shortcut = f"{name}.down"
                net.nodes[shortcut] = Conv(Layer(c_in, c_out, size, 1, stride, 0), source, relu=False, mask="open")
            net.nodes[f"{name}.a"] = Conv(Layer(c_in, width, size, 1, 1, 0), source)
            groups = width // group_width if group_width else 1
            net.nodes[f"{name}.b"] = Conv(Layer(width, width, size, 3, stride, 1, groups), f"{name}.a")
            size = -(-size // stride)
            net.nodes[f"{name}.c"] = Conv(Layer(width, c_out, size, 1, 1, 0), f"{name}.b", shortcut, mask="open")
            source, c_in = f"{name}.c", c_out
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


EDGE_NETWORKS = {
    f"{name}@{image}": partial(make, image=image)
    for name, make in {
        "mobilenet-v2": partial(inverted_residuals, MOBILENET_V2),
        "mobilenet-v2-half": partial(inverted_residuals, MOBILENET_V2, width=0.5),
        "efficientnet-lite0": partial(inverted_residuals, EFFICIENTNET_LITE0),
        "resnet50": resnet50,
        "regnet-x": regnet_x,
    }.items()
    for image in (224, 96)
}


def edge_layers(image: int = 224) -> dict[Layer, list[str]]:
    """Each shape of the networks for images of this size, 224 or 96, once, with the networks it comes from."""
    found: dict[Layer, list[str]] = {}
    for name, make in EDGE_NETWORKS.items():
        for layer in dict.fromkeys(conv.layer for conv in make().convs.values()) if name.endswith(f"@{image}") else ():
            found.setdefault(layer, []).append(name)
    return found
