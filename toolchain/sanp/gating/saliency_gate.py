"""The learned gate: the saliency of every output channel from the layer's input, then semantic hashing."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sanp.gating.policy import Decision, GatePolicy, full_precision
from sanp.gating.saliency import SaliencyNet, hashed_scale, pooled
from sanp_export.spec import SpmGate, StaticGate
from sanp_targets.errors import ConfigError


class SaliencyGate(GatePolicy):
    """Pooled input, two layers, semantic hashing (arXiv 1910.08906 eq. 5 to 8); several methods start from it.

    reduction, hidden_min: hidden width = max(hidden_min, C_in // reduction). noise: standard deviation while training.
    threshold: a channel is open in evaluation when s > threshold. group: this many neighbouring channels share one
    saliency and one draw of the noise, so that they open and close together; the last group of a layer may be smaller.
    """

    threshold: Tensor

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        reduction: int = 16,
        hidden_min: int = 4,
        noise: float = 0.2,
        soft_share: float = 0.5,
        threshold: float = 0.0,
        standardise: bool = True,
        group: int = 1,
    ) -> None:
        super().__init__()
        if reduction < 1 or hidden_min < 1 or noise < 0 or threshold < 0 or not 0 <= soft_share <= 1:
            raise ConfigError(
                f"gate options reduction={reduction}, hidden_min={hidden_min}, noise={noise}, threshold={threshold}, "
                f"soft_share={soft_share}: expected reduction and hidden_min of at least 1, noise and threshold of at "
                "least 0 and a share of at most 1; correct them"
            )
        if group < 1:
            raise ConfigError(f"gate option group={group}, expected at least 1 channel; correct it")
        self.noise, self.soft_share = noise, soft_share
        self.channels, self.group = c_out, group
        self.anneal_factor = 1.0  # on noise and soft share; training lowers it so that it ends as evaluation does
        # A buffer, because calibration moves it after training and checkpoints must carry it.
        self.register_buffer("threshold", torch.tensor(float(threshold)))
        self.net = SaliencyNet(c_in, math.ceil(c_out / group), max(hidden_min, c_in // reduction), standardise)

    @property
    def gate_hidden(self) -> int:  # type: ignore[override]
        """Hidden width of the saliency network."""
        return self.net.fc1.out_features

    def saliency(self, x: Tensor) -> Tensor:
        """u [N, groups] in float32."""
        with full_precision(x):
            return self.net(pooled(x))

    def spread(self, values: Tensor) -> Tensor:
        """[..., groups] -> [..., C_out]: every channel gets what its group has."""
        if self.group == 1:
            return values
        return values[..., None].expand(*values.shape, self.group).flatten(-2)[..., : self.channels]

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision; noisy and half soft in training, hard and noise-free in evaluation."""
        u = self.saliency(x)
        mask = (u > self.threshold).to(u.dtype)  # the threshold is not negative, so that this is s > threshold
        if self.training:
            scale = hashed_scale(u, self.noise * self.anneal_factor, self.soft_share * self.anneal_factor)
        else:
            scale = F.relu(u) * mask
        return Decision(self.spread(u), self.spread(scale), self.spread(mask))

    def export(self) -> SpmGate | StaticGate:
        """Weights of the saliency network on the raw pooled input, and the threshold."""
        return self.export_per_sample()

    def export_per_sample(self, k: int = 0) -> SpmGate:
        """The gate as the device computes it per sample; k > 0 keeps at most k channels.

        The device knows no groups: it computes every channel of a group from the same weights, and is counted so.
        """
        w1, b1, w2, b2 = self.net.folded()
        return SpmGate(w1, b1, self.spread(w2.T).T.contiguous(), self.spread(b2), float(self.threshold), k)
