"""A depthwise convolution that shares the decision of the layers that feed it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sanp.gating.gated_conv import GatedConv
from sanp.gating.geometry import spec_of
from sanp.tracing.gated_layer import GatedLayer
from sanp_export.spec import GatedConvSpec, SharedGate


class FollowingConv(GatedLayer):
    """y = open[:, :, None, None] * norm(conv(x)), where `open` is 0 or 1 as the gates of the leaders say.

    leaders: the gated layers whose output channels are those of x, side by side, or a number of channels without a
    gate, which are always open. Whatever lies between keeps zeros, so a channel that a leader has closed is zero here
    already. Its output would be the shift of the batch norm; the shift is closed with it, and the next layer can skip
    the channel too. The saliency is not applied again: it is in x.

    The leaders are not submodules: they run, are saved and are counted where they stand.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity, leaders: Sequence[GatedConv | int]) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self._leaders = tuple(leaders)

    @property
    def leaders(self) -> tuple[GatedLayer | int, ...]:
        """See the class."""
        return self._leaders

    @property
    def open(self) -> Tensor:
        """0/1 float32 [N, C_out] of this forward pass; in training with the noise that the leaders drew.

        Hard and without a gradient: a leader hears of what closes with it through its own scale.
        """
        first = next(leader.scale.detach() for leader in self._leaders if isinstance(leader, GatedConv))
        parts = [
            leader.scale.detach() if isinstance(leader, GatedConv) else first.new_ones(len(first), leader)
            for leader in self._leaders
        ]
        joined = torch.cat(parts, dim=1)
        return (joined > 0).to(joined.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W']; the leaders have run on the same batch before."""
        y = self.convolved(x)
        return y * self.open[:, :, None, None].to(y.dtype)

    @property
    def gate_hidden(self) -> int:
        """0: nothing is computed to decide."""
        return 0

    def gated_conv_spec(self) -> GatedConvSpec:
        """Evaluation-mode parameters for the exporter, batch norm folded; detached copies."""
        widths = tuple(item if isinstance(item, int) else item.conv.out_channels for item in self._leaders)
        return spec_of(self.conv, self.norm, SharedGate(self._leaders, widths))
