"""ShuffleNetV2 x1: two branches of channels, one of them convolved, concatenated and shuffled.

The first 1x1 layer of a branch has a gate and its depthwise layer follows it; the last 1x1 of a branch has none.
"""

from __future__ import annotations

from benchmarks.networks.shapes import MAX_POOL_3X3, Conv, Layer, Network

STAGES = ((116, 4), (232, 8), (464, 4))  # channels and units; Ma et al., ECCV 2018, table 5


def shufflenet_v2(image: int) -> Network:
    """Up to the pooled 1024 channels in front of the classifier."""
    net = Network(image)
    net.nodes["stem"] = Conv(Layer(3, 24, image, 3, 2, 1), "x", mask="open")
    net.nodes["stem.pooled"] = (MAX_POOL_3X3, "stem")
    source, c_in, size = "stem.pooled", 24, -(-image // 4)
    for stage, (channels, units) in enumerate(STAGES):
        half = channels // 2
        for unit in range(units):
            name = f"s{stage}u{unit}"
            if unit:
                kept, entry, width, stride = f"{name}.kept", f"{name}.entry", half, 1
                net.nodes[kept] = ("Slice", source, 0, half)
                net.nodes[entry] = ("Slice", source, half, channels)
            else:
                kept, entry, width, stride = f"{name}.kept", source, c_in, 2
                shortcut = Layer(c_in, c_in, size, 3, 2, 1, c_in)
                net.nodes[f"{name}.shortcut"] = Conv(shortcut, source, relu=False, mask="open")
                net.nodes[kept] = Conv(Layer(c_in, half, shortcut.out, 1, 1, 0), f"{name}.shortcut", mask="open")
            net.nodes[f"{name}.a"] = Conv(Layer(width, half, size, 1, 1, 0), entry)
            depthwise = Layer(half, half, size, 3, stride, 1, half)
            net.nodes[f"{name}.b"] = Conv(depthwise, f"{name}.a", relu=False, mask=f"{name}.a")
            size = depthwise.out
            net.nodes[f"{name}.c"] = Conv(Layer(half, half, size, 1, 1, 0), f"{name}.b", mask="open")
            net.nodes[f"{name}.both"] = ("Concat", kept, f"{name}.c")
            net.nodes[name] = ("Shuffle", f"{name}.both", size)
            source, c_in = name, channels
    net.nodes["head.conv"] = Conv(Layer(c_in, 1024, size, 1, 1, 0), source)
    net.nodes["pool"] = ("GlobalAveragePool", "head.conv")
    return net
