"""Networks for images of 224 pixels as lists of layers: ResNet-18 at any width, and the shapes of MobileNetV2."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.networks.edge import MOBILENET_V2, inverted_residuals
from benchmarks.networks.resnets import resnet_layers
from benchmarks.networks.shapes import MAX_POOL_3X3, Conv, Layer, Network

RESNET18_WIDTHS = (64, 128, 256, 512)


def layers_of(network: str) -> list[Layer]:
    """Every convolution of a network for 224 x 224 images, in order."""
    if network == "mobilenet-v2":
        return [conv.layer for conv in inverted_residuals(MOBILENET_V2, 224).convs.values()]
    return resnet_layers(network, 224)


def resnet(image: int = 224, widths: Sequence[int] = RESNET18_WIDTHS, blocks: int = 2) -> Network:
    """ResNet-18 as published: 7x7 stem, max pool, four stages of two blocks; or other sizes of all these."""
    net = Network(image)
    net.nodes["stem"] = Conv(Layer(3, widths[0], image, 7, 2, 3), "x")
    net.nodes["pooled"] = (MAX_POOL_3X3, "stem")
    source, c_in, size = "pooled", widths[0], -(-image // 4)
    for stage, c_out in enumerate(widths):
        for block in range(blocks):
            stride, name = (2 if stage and not block else 1), f"s{stage}b{block}"
            shortcut = source
            if stride == 2 or c_in != c_out:
                shortcut = f"{name}.down"
                net.nodes[shortcut] = Conv(Layer(c_in, c_out, size, 1, stride, 0), source, relu=False)
            net.nodes[f"{name}.a"] = Conv(Layer(c_in, c_out, size, 3, stride), source)
            size = -(-size // stride)
            net.nodes[f"{name}.b"] = Conv(Layer(c_out, c_out, size), f"{name}.a", shortcut)
            source, c_in = f"{name}.b", c_out
    net.nodes["pool"] = ("GlobalAveragePool", source)
    return net


def narrowed(cost: float, image: int = 224, widths: Sequence[int] = RESNET18_WIDTHS, blocks: int = 2) -> Network:
    """The same network with fewer channels, multiples of 8, whose multiply-adds come nearest to this share."""
    full = resnet(image, widths, blocks).macs

    def narrow(factor: float) -> Network:
        return resnet(image, [max(8, 8 * round(width * factor / 8)) for width in widths], blocks)

    factors = [step / 200 for step in range(20, 201)]
    return narrow(min(factors, key=lambda factor: abs(narrow(factor).macs / full - cost)))
