"""Rounding that gradients pass: feature maps to unsigned bytes of one step, weights to signed bytes per channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sanp.gating.policy import full_precision
from sanp_export.graph.byte_layers import LEVELS, MOST

# Share of a new batch in the range that is followed: a range is that of the last hundred batches or so.
_SHARE = 0.01


class FollowedRange(nn.Module):
    """Rounds a tensor to bytes, `torch.fake_quantize_per_tensor_affine`; in training its range follows the tensor.

    low, high: the range, float32 numbers; zero lies between them. Steps and zero points are those of
    `sanp_export.graph.byte_steps.step_of`. Values beyond the range are cut off, and get no gradient.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))
        self.widens = False  # while ranges are measured: all that is seen, and nothing is rounded

    def forward(self, x: Tensor) -> Tensor:
        """A float32 tensor of any shape -> the same, rounded."""
        with full_precision(x):
            x = x.float()
            if self.training or self.widens:
                self._follow(x.detach())
            if self.widens:
                return x
            size, zero = self.step()
            return torch.fake_quantize_per_tensor_affine(x, size, zero, 0, LEVELS)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        low, high = torch.aminmax(x)
        low, high = low.clamp(max=0), high.clamp(min=0)
        if self.widens:
            self.low.copy_(torch.minimum(self.low, low))
            self.high.copy_(torch.maximum(self.high, high))
        else:
            share = torch.where(self.seen, _SHARE, 1.0)
            self.low.lerp_(low, share)
            self.high.lerp_(high, share)
        self.seen.fill_(True)

    def step(self) -> tuple[Tensor, Tensor]:
        """float32 step and int32 zero point; no value is copied to the host."""
        low, high = self.low.double(), self.high.double()
        size = ((high - low) / LEVELS).float()
        empty = size < torch.finfo(torch.float32).tiny
        size = torch.where(empty, torch.ones_like(size), size)
        zero = torch.round(-low / size.double()).clamp(0, LEVELS)
        return size, torch.where(empty, torch.zeros_like(zero), zero).int()

    def limits(self) -> tuple[float, float]:
        """The range as numbers."""
        return float(self.low), float(self.high)


def rounded_weights(weight: Tensor) -> Tensor:
    """[Co, ...] rounded to -127..127 steps per output channel, `torch.fake_quantize_per_channel_affine`."""
    largest = weight.detach().abs().flatten(1).amax(1).double() / MOST
    sizes = torch.where(largest > 0, largest, torch.ones_like(largest)).float()
    zeros = torch.zeros_like(sizes, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, sizes, zeros, 0, -MOST, MOST)


def rounded_conv(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """norm(conv(x)) with the statistics of the norm folded in and the folded weights rounded, as `compile` does it.

    [N, C_in, H, W] -> [N, C_out, H', W'], float32. Gradients reach the weights, and scale and shift of the norm.
    """
    with full_precision(x):
        weight, bias = _folded(conv, norm)
        return conv._conv_forward(x.float(), rounded_weights(weight), bias)


def _folded(conv: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Like `sanp_export.spec.fold_batch_norm`, but gradients pass."""
    if not isinstance(norm, nn.BatchNorm2d):
        return conv.weight, conv.bias
    assert norm.running_mean is not None and norm.running_var is not None, "batch norm without running statistics"
    factor = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight.double()
    offset = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean.double()
    bias = offset * factor if norm.bias is None else offset * factor + norm.bias.double()
    return (conv.weight.double() * factor[:, None, None, None]).float(), bias.float()
