"""A gated convolution as the exporter wants it: folded, its strides, dilations and pads as plain numbers."""

from __future__ import annotations

from torch import nn

from sanp_export.spec import GatedConvSpec, SharedGate, SpmGate, StaticGate, fold_batch_norm


def pair(value: tuple[int, ...]) -> tuple[int, int]:
    """Two numbers, vertical first."""
    return value[0], value[1]


def pads_of(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Pads (top, left, bottom, right)."""
    # PyTorch resolves "same" and "valid" into this list, (left, right, top, bottom), with the odd pixel at the end.
    left, right, top, bottom = conv._reversed_padding_repeated_twice
    return top, left, bottom, right


def spec_of(
    conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity, gate: SpmGate | StaticGate | SharedGate
) -> GatedConvSpec:
    """Evaluation-mode parameters for the exporter, batch norm folded; detached copies."""
    weight, bias = fold_batch_norm(conv, norm)
    return GatedConvSpec(
        weight=weight,
        bias=bias,
        strides=pair(conv.stride),
        pads=pads_of(conv),
        dilations=pair(conv.dilation),
        groups=conv.groups,
        gate=gate,
    )
