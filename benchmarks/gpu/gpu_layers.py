"""The convolution shapes of ResNet-18 and ResNet-50, at 224 and at 32 pixels."""

from __future__ import annotations

from dataclasses import dataclass

WIDTHS, BLOCKS = (64, 128, 256, 512), {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


@dataclass(frozen=True)
class Layer:
    """One shape; `size` is the input map, which is square, padding keeps the map (over the stride)."""

    c_in: int
    c_out: int
    kernel: int
    stride: int
    size: int

    @property
    def name(self) -> str:
        """For example 64-128 3x3/2 @56."""
        return f"{self.c_in}-{self.c_out} {self.kernel}x{self.kernel}{'/2' if self.stride == 2 else ''} @{self.size}"

    @property
    def pad(self) -> int:
        """On every side."""
        return self.kernel // 2

    @property
    def out(self) -> int:
        """The output map."""
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    def macs(self, batch: int) -> int:
        """Multiply-adds with every channel open."""
        return batch * self.out**2 * self.c_in * self.c_out * self.kernel**2


def network_layers(network: str, image: int) -> list[Layer]:
    """Every convolution of the network in order, downsampling included. At 32 pixels the stem keeps the map."""
    small = image <= 64
    layers = [Layer(3, 64, 3, 1, image) if small else Layer(3, 64, 7, 2, image)]
    size, c_in = (image, 64) if small else (image // 4, 64)
    for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS[network], strict=True)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            out = -(-size // stride)
            if network == "resnet18":
                c_out, main = width, [Layer(c_in, width, 3, stride, size), Layer(width, width, 3, 1, out)]
            else:
                c_out = 4 * width
                main = [Layer(c_in, width, 1, 1, size), Layer(width, width, 3, stride, size)]
                main.append(Layer(width, c_out, 1, 1, out))
            layers += main
            if stride == 2 or c_in != c_out:
                layers.append(Layer(c_in, c_out, 1, stride, size))
            size, c_in = out, c_out
    return layers


def distinct_layers(networks: list[str], images: list[int]) -> dict[Layer, list[str]]:
    """Each shape once, with the networks it comes from."""
    found: dict[Layer, list[str]] = {}
    for network in networks:
        for image in images:
            for layer in dict.fromkeys(network_layers(network, image)):
                found.setdefault(layer, []).append(f"{network}@{image}")
    return found
