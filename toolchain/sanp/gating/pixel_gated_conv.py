"""A convolution of which every output pixel takes a short path over a part of its inputs, or the whole one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.gating.geometry import pads_of, pair
from sanp.tracing.gated_layer import PixelGatedLayer
from sanp_export.spec import PixelGatedConvSpec, fold_norm
from sanp_targets.errors import ConfigError


class _Step(torch.autograd.Function):
    """1[a > 0] with the gradient of sigmoid(a); `sparse`: none where the step is 0."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, sparse: bool) -> Tensor:
        opened = (a > 0).to(a.dtype)
        ctx.save_for_backward(a.sigmoid(), opened)
        ctx.sparse = sparse
        return opened

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        sigmoid, opened = ctx.saved_tensors
        slope = sigmoid * (1 - sigmoid)
        return grad * (slope * opened if ctx.sparse else slope), None


class PixelGatedConv(PixelGatedLayer):
    """norm(d * conv(x) + (1 - d) * base(x)), d = 1[norm0(base(x)) > delta + offset] for every pixel of every channel.

    base: the convolution over one of `parts` groups of input channels, another group for every group of output
    channels, so that each input is in the short path of some outputs. shuffle: group g has the inputs g, g + parts,
    g + 2 parts ... and so mixes what the groups of the layer before have computed; else a contiguous block. Training on
    shuffled channels and on contiguous ones after a shuffle are the same thing.

    norm0 has no scale and shift. delta [C_out] is learned; offset is one number that training and calibration set.
    alpha: steepness of the gradient of the decision. sparse_backward: closed pixels send no gradient into it.
    """

    offset: Tensor

    def __init__(
        self, conv: nn.Conv2d, norm: nn.BatchNorm2d, *, parts: int, shuffle: bool, alpha: float, sparse_backward: bool
    ) -> None:
        super().__init__()
        if obstacle(conv, parts) is not None:
            raise ConfigError(f"the convolution {obstacle(conv, parts)}; leave it without a gate")
        self.conv, self.norm = conv, norm
        self.parts, self.shuffle, self.alpha, self.sparse_backward = parts, shuffle, alpha, sparse_backward
        self.norm0 = nn.BatchNorm2d(conv.out_channels, eps=norm.eps, momentum=norm.momentum, affine=False)
        self.delta = nn.Parameter(torch.zeros(conv.out_channels))
        # A buffer: it is set and not learned, and checkpoints must carry it.
        self.register_buffer("offset", torch.zeros(()))
        self._open: Tensor | None = None

    @property
    def base_share(self) -> float:
        """1 / parts."""
        return 1.0 / self.parts

    @property
    def open(self) -> Tensor:
        """Share of open pixels of each channel in the last forward pass, float32 [N, C_out], detached."""
        if self._open is None:
            raise RuntimeError("the gated layer has not run yet; pass a batch through the network first")
        return self._open

    def order(self) -> Tensor:
        """Input channels in the order of their groups, int64 [C_in]."""
        channels = torch.arange(self.conv.in_channels)
        return channels.reshape(-1, self.parts).t().reshape(-1) if self.shuffle else channels

    def base_weight(self) -> Tensor:
        """Weights of the short path as a grouped convolution on reordered inputs, [C_out, C_in / parts, kh, kw]."""
        w, p = self.conv.weight, self.parts
        rows = w.view(p, w.shape[0] // p, *w.shape[1:])
        if self.shuffle:
            blocks = torch.diagonal(rows.unflatten(2, (-1, p)), dim1=0, dim2=3)
        else:
            blocks = torch.diagonal(rows.unflatten(2, (p, -1)), dim1=0, dim2=2)
        return blocks.movedim(-1, 0).flatten(0, 1)

    def base(self, x: Tensor) -> Tensor:
        """The short path, [N, C_out, H', W']; without the bias of the convolution."""
        if self.shuffle:
            x = x.unflatten(1, (-1, self.parts)).transpose(1, 2).flatten(1, 2)
        conv = self.conv
        return F.conv2d(x, self.base_weight(), None, conv.stride, conv.padding, conv.dilation, self.parts)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        conv = self.conv
        base = self.base(x)
        whole = F.conv2d(x, conv.weight, None, conv.stride, conv.padding, conv.dilation)
        level = (self.delta + self.offset)[:, None, None]
        opened = _Step.apply(self.alpha * (self.norm0(base) - level), self.sparse_backward)
        self._open = opened.detach().float().mean((2, 3))
        y = base + opened * (whole - base)
        return self.norm(y if conv.bias is None else y + conv.bias[:, None, None])

    def pixel_gated_conv_spec(self) -> PixelGatedConvSpec:
        """Evaluation-mode parameters for the exporter; detached copies."""
        scale, shift = fold_norm(self.conv, self.norm)
        deviation = torch.sqrt(_known(self.norm0.running_var).double() + self.norm0.eps)
        level = (self.delta + self.offset).detach().double()
        return PixelGatedConvSpec(
            weight=self.conv.weight.detach().clone(),
            base_weight=self.base_weight().detach().clone(),
            order=self.order(),
            bound=(level * deviation + _known(self.norm0.running_mean).double()).float(),
            scale=scale,
            shift=shift,
            strides=pair(self.conv.stride),
            pads=pads_of(self.conv),
            dilations=pair(self.conv.dilation),
            parts=self.parts,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


def obstacle(conv: nn.Conv2d, parts: int) -> str | None:
    """Why a convolution cannot be divided into a short path and the rest, or None."""
    if conv.groups != 1:
        return "it has groups already, and a short path is a convolution in groups"
    if conv.in_channels % parts or conv.out_channels % parts:
        return f"its {conv.in_channels} inputs or {conv.out_channels} outputs are not a multiple of {parts} parts"
    return None


def _known(statistics: Tensor | None) -> Tensor:
    assert statistics is not None, "batch norm without running statistics"
    return statistics
