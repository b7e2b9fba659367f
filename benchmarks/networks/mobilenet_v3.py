"""MobileNetV3-Large: inverted residuals with squeeze-and-excite, hard sigmoid and hard swish.

A gate on the expansion decides for the depthwise layer; closed channels stay zero whatever they are multiplied by.
"""

from __future__ import annotations

from benchmarks.networks.shapes import Conv, Layer, Network

# Kernel, expanded and output channels, squeeze-and-excite, hard swish, stride; Howard et al., ICCV 2019, table 1.
BLOCKS = (
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)  # fmt: skip


def mobilenet_v3_large(image: int) -> Network:
    """Up to the 1280 channels in front of the classifier; no batch norm, which is folded in every runtime."""
    net = Network(image)
    source, c_in, size = _conv(net, "stem", Layer(3, 16, image, 3, 2, 1), "x", "open", swish=True), 16, -(-image // 2)
    for index, (kernel, hidden, c_out, excite, swish, stride) in enumerate(BLOCKS):
        name, entry, gate = f"b{index}", source, "open"
        if hidden > c_in:
            gate = f"{name}.expand"
            entry = _conv(net, gate, Layer(c_in, hidden, size, 1, 1, 0), source, "own", bool(swish))
        depthwise = Layer(hidden, hidden, size, kernel, stride, kernel // 2, hidden)
        entry = _conv(net, f"{name}.depthwise", depthwise, entry, gate, bool(swish))
        size = depthwise.out
        if excite:
            entry = _excited(net, name, entry, hidden)
        residual = source if stride == 1 and c_in == c_out else ""
        project = Layer(hidden, c_out, size, 1, 1, 0)
        net.nodes[f"{name}.project"] = Conv(project, entry, residual, relu=False, mask="open")
        source, c_in = f"{name}.project", c_out
    source = _conv(net, "head.conv", Layer(c_in, 960, size, 1, 1, 0), source, "own", swish=True)
    net.nodes["means"] = ("GlobalAveragePool", source)
    net.nodes["hidden"] = Conv(Layer(960, 1280, 1, 1, 1, 0), "means", relu=False, mask="open")
    net.nodes["pool"] = ("HardSwish", "hidden")
    return net


def _conv(net: Network, name: str, layer: Layer, source: str, mask: str, swish: bool) -> str:
    """A convolution with its activation, ReLU or hard swish; the name of the result."""
    net.nodes[name] = Conv(layer, source, relu=not swish, mask=mask)
    if not swish:
        return name
    net.nodes[f"{name}.swish"] = ("HardSwish", name)
    return f"{name}.swish"


def _excited(net: Network, block: str, source: str, channels: int) -> str:
    """Squeeze-and-excite of a map; the name of the result. The squeeze skips closed channels, the excite none."""
    squeezed = int(channels / 4 + 4) // 8 * 8
    squeezed += 8 if squeezed < 0.9 * channels / 4 else 0
    net.nodes[f"{block}.means"] = ("GlobalAveragePool", source)
    net.nodes[f"{block}.squeeze"] = Conv(Layer(channels, squeezed, 1, 1, 1, 0), f"{block}.means", mask="open")
    excite = Layer(squeezed, channels, 1, 1, 1, 0)
    net.nodes[f"{block}.excite"] = Conv(excite, f"{block}.squeeze", relu=False, mask="open")
    net.nodes[f"{block}.factors"] = ("HardSigmoid", f"{block}.excite")
    net.nodes[f"{block}.excited"] = ("Mul", source, f"{block}.factors")
    return f"{block}.excited"
