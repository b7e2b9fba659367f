"""Export twin of a convolution whose pixels take a short path or the whole one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sanp_export.spec import PixelGatedConvSpec
from sanp_runtime.contract import DOMAIN, PIXEL_GATED_CONV

_CONSTANTS = ("weight", "base_weight", "bound", "scale", "shift")


class LoweredPixelGatedConv(nn.Module):
    """Emits one `SanpPixelGatedConv`, which carries the layer's name in the attribute `layer`.

    The operator has groups of neighbouring channels. Where the groups are interleaved, a Gather brings the channels
    into their order first, and the weights are written in that order.
    """

    weight: Tensor
    order: Tensor | None

    def __init__(self, layer: str, spec: PixelGatedConvSpec) -> None:
        super().__init__()
        self.layer = layer
        self.strides, self.pads, self.dilations, self.parts = spec.strides, spec.pads, spec.dilations, spec.parts
        for name in _CONSTANTS:
            self.register_buffer(name, getattr(spec, name).detach().contiguous())
        self.weight = self.weight[:, spec.order].contiguous()
        ordered = torch.equal(spec.order, torch.arange(len(spec.order)))
        self.register_buffer("order", None if ordered else spec.order)

    def forward(self, x: Tensor) -> Tensor:
        """Emit the node; x [N, Ci, H, W] -> [N, Co, H', W']."""
        if self.order is not None:
            x = x.index_select(1, self.order)
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{PIXEL_GATED_CONV}",
            (x, *(getattr(self, name) for name in _CONSTANTS)),
            {
                "layer": self.layer,
                "strides": list(self.strides),
                "pads": list(self.pads),
                "dilations": list(self.dilations),
                "parts": self.parts,
            },
            dtype=x.dtype,
            shape=(
                x.shape[0],
                self.weight.shape[0],
                *output_hw(x, self.weight, self.strides, self.pads, self.dilations),
            ),
            version=1,
        )


def output_hw(
    x: Tensor, weight: Tensor, strides: tuple[int, int], pads: tuple[int, int, int, int], dilations: tuple[int, int]
) -> tuple[int, int]:
    """Height and width of a convolution's result; pads are (top, left, bottom, right)."""
    top, left, bottom, right = pads
    size: list[int] = []
    for axis, pad in ((0, top + bottom), (1, left + right)):
        reach = dilations[axis] * (int(weight.shape[2 + axis]) - 1) + 1
        size.append((x.shape[2 + axis] + pad - reach) // strides[axis] + 1)
    return size[0], size[1]
