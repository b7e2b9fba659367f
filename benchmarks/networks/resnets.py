"""The convolution shapes of ResNet-18 and ResNet-50, for images of 224 and of 32 pixels, and every shape there is."""

from __future__ import annotations

from benchmarks.networks.shapes import NETWORKS, Layer

WIDTHS, BLOCKS = (64, 128, 256, 512), {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def _padded(c_in: int, c_out: int, kernel: int, stride: int, size: int) -> Layer:
    """A layer whose padding keeps the map, over the stride."""
    return Layer(c_in, c_out, size, kernel, stride, kernel // 2)


def resnet_layers(network: str, image: int) -> list[Layer]:
    """Every convolution of the network in order, downsampling included. At 32 pixels the stem keeps the map."""
    small = image <= 64
    layers = [_padded(3, 64, 3, 1, image) if small else _padded(3, 64, 7, 2, image)]
    size, c_in = (image, 64) if small else (image // 4, 64)
    for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS[network], strict=True)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            out = -(-size // stride)
            if network == "resnet18":
                c_out, main = width, [_padded(c_in, width, 3, stride, size), _padded(width, width, 3, 1, out)]
            else:
                c_out = 4 * width
                main = [_padded(c_in, width, 1, 1, size), _padded(width, width, 3, stride, size)]
                main.append(_padded(width, c_out, 1, 1, out))
            layers += main
            if stride == 2 or c_in != c_out:
                layers.append(_padded(c_in, c_out, 1, stride, size))
            size, c_in = out, c_out
    return layers


def distinct_layers(networks: list[str], images: list[int]) -> dict[Layer, list[str]]:
    """Each shape once, with the ResNets it comes from, such as `resnet18@224`."""
    found: dict[Layer, list[str]] = {}
    for network in networks:
        for image in images:
            for layer in dict.fromkeys(resnet_layers(network, image)):
                found.setdefault(layer, []).append(f"{network}@{image}")
    return found


def every_layer() -> dict[Layer, list[str]]:
    """Each shape once: the networks for 32 x 32 images, then the ResNets at 224 x 224."""
    found: dict[Layer, list[str]] = {}
    for name, make in NETWORKS.items():
        for layer in dict.fromkeys(conv.layer for conv in make().convs.values()):
            found.setdefault(layer, []).append(name)
    for layer, names in distinct_layers(list(BLOCKS), [224]).items():
        found.setdefault(layer, []).extend(names)
    return found
