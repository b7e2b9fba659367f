"""What a PyTorch module must tell the exporter to become a gated convolution in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SpmGate:
    """A learned gate, decided per sample: w1 [h, Ci], b1 [h], w2 [Co, h], b2 [Co]; see `SanpChannelGate`.

    w1 and b1 are None where there is no hidden layer; w2 is [Co, Ci] then. A channel is open when its saliency exceeds
    `threshold` and, for k > 0, the k+1-th largest saliency of the layer. magnitude: the gate reads |x|.
    """

    w1: Tensor | None
    b1: Tensor | None
    w2: Tensor
    b2: Tensor
    threshold: float = 0.0
    k: int = 0
    magnitude: bool = False


@dataclass(frozen=True)
class StaticGate:
    """A gate that is the same for every sample: scale [Co], 0 = closed."""

    scale: Tensor


@dataclass(frozen=True)
class SharedGate:
    """The decision of other gated layers: open where their channels, side by side, are.

    leaders: those layers; a number stands for that many channels, which are always open. widths: channels of each. The
    scale is 1 where a channel is open.
    """

    leaders: tuple[nn.Module | int, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True)
class GatedConvSpec:
    """A convolution with batch norm folded in, and its gate.

    weight [Co, Ci/groups, kh, kw], bias [Co]; pads are (top, left, bottom, right). The layer computes
    scale * (conv(x) + bias) + offset where a channel is open, and 0 where it is closed; offset [Co] or None.
    """

    weight: Tensor
    bias: Tensor
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    groups: int
    gate: SpmGate | StaticGate | SharedGate
    offset: Tensor | None = None


@dataclass(frozen=True)
class PixelGatedConvSpec:
    """A convolution whose pixels take a short path or the whole one; see `SanpPixelGatedConv`.

    weight [Co, Ci, kh, kw]; base_weight [Co, Ci/parts, kh, kw], on the inputs in this order, int64 [Ci]. A pixel whose
    short path exceeds bound [Co] is computed whole. scale, shift [Co]: what follows, batch norm and bias.
    """

    weight: Tensor
    base_weight: Tensor
    order: Tensor
    bound: Tensor
    scale: Tensor
    shift: Tensor
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    parts: int


@runtime_checkable
class ExportsPixelGatedConv(Protocol):
    """A module that decides for every pixel and can describe itself for export."""

    def pixel_gated_conv_spec(self) -> PixelGatedConvSpec:
        """Evaluation-mode parameters of this layer."""
        ...


@runtime_checkable
class ExportsGatedConv(Protocol):
    """A module that computes gate(x) * norm(conv(x)) and can describe itself for export."""

    def gated_conv_spec(self) -> GatedConvSpec:
        """Evaluation-mode parameters of this layer, batch norm folded."""
        ...


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity) -> tuple[Tensor, Tensor]:
    """Weight and bias of the single convolution that equals norm(conv(x)) in evaluation mode.

    An Identity leaves the convolution as it is. Folded in float64: gamma / sqrt(var + eps) in float32 costs a rounding
    per filter that L1 validation would see.
    """
    if isinstance(norm, nn.Identity):
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().float()
        return conv.weight.detach().float(), bias.to(conv.weight.device)
    factor, bias = _folded(conv, norm)
    return (conv.weight.detach().double() * factor[:, None, None, None]).float(), bias.float()


def fold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift [Co] that follow the convolution without its bias: those of norm(conv(x)) in evaluation mode."""
    scale, shift = _folded(conv, norm)
    return scale.float(), shift.float()


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and bias in float64."""
    assert norm.running_mean is not None and norm.running_var is not None, "batch norm without running statistics"
    device = conv.weight.device
    offset = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
    gamma = torch.ones(conv.out_channels) if norm.weight is None else norm.weight.detach()
    beta = torch.zeros(conv.out_channels) if norm.bias is None else norm.bias.detach()
    factor = gamma.double().to(device) / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = (offset.double().to(device) - norm.running_mean.double()) * factor + beta.double().to(device)
    return factor, bias
