"""Learned gate policies: what decides, per sample or for good, which output channels of a convolution are computed."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.gating.saliency import SaliencyNet, hashed_scale, pooled
from sanp_export.spec import SpmGate, StaticGate
from sanp_targets.errors import ConfigError


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Switches autocast off around a gate: decisions must not depend on half precision."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


@dataclass(frozen=True)
class Decision:
    """What a gate said in one forward pass; all tensors are [N, C_out] float32.

    u: saliency before its ReLU. scale: the factor really applied (with noise while training).
    code: hard, noise-free 0/1, detached; cost and statistics are counted from it.
    """

    u: Tensor
    scale: Tensor
    code: Tensor

    @property
    def s(self) -> Tensor:
        """relu(u), computed on demand: a training step does not need it layer by layer."""
        return F.relu(self.u)


class GatePolicy(nn.Module):
    """Base: maps the input of a convolution to a Decision. `gate_hidden`: the hidden width that inference pays for."""

    gate_hidden = 0
    penalised = False  # whether the cost loss applies to this policy

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with tensors [N, C_out]."""
        raise NotImplementedError

    def export(self) -> SpmGate | StaticGate:
        """The evaluation-mode gate for the exporter; ExportError if it cannot be described."""
        raise NotImplementedError


class SanpGate(GatePolicy):
    """The learned per-sample gate of SANP: pooled input, two layers, semantic hashing (arXiv 1910.08906 eq. 5 to 8).

    reduction, hidden_min: hidden width = max(hidden_min, C_in // reduction). noise: standard deviation while training.
    threshold: a channel is open in evaluation when s > threshold.
    """

    penalised = True
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
    ) -> None:
        super().__init__()
        if reduction < 1 or hidden_min < 1 or noise < 0 or threshold < 0 or not 0 <= soft_share <= 1:
            raise ConfigError(
                f"gate options reduction={reduction}, hidden_min={hidden_min}, noise={noise}, threshold={threshold}, "
                f"soft_share={soft_share}: expected reduction and hidden_min of at least 1, noise and threshold of at "
                "least 0 and a share of at most 1; correct them"
            )
        self.hidden = max(hidden_min, c_in // reduction)
        self.noise, self.soft_share = noise, soft_share
        self.anneal_factor = (
            1.0  # factor on noise and soft share; training lowers it so that it ends as evaluation does
        )
        # A buffer, because calibration moves it after training and checkpoints must carry it.
        self.register_buffer("threshold", torch.tensor(float(threshold)))
        self.net = SaliencyNet(c_in, c_out, self.hidden, standardise)

    @property
    def gate_hidden(self) -> int:  # type: ignore[override]
        """Hidden width of the saliency module."""
        return self.hidden

    def saliency(self, x: Tensor) -> Tensor:
        """u [N, C_out] in float32."""
        with full_precision(x):
            return self.net(pooled(x))

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision; noisy and half soft in training, hard and noise-free in evaluation."""
        u = self.saliency(x)
        code = (u > self.threshold).to(u.dtype)  # the threshold is not negative, so that this is s > threshold
        if not self.training:
            return Decision(u, F.relu(u) * code, code)
        return Decision(u, hashed_scale(u, self.noise * self.anneal_factor, self.soft_share * self.anneal_factor), code)

    def export(self) -> SpmGate:
        """Weights of the saliency network on the raw pooled input, and the threshold."""
        w1, b1, w2, b2 = self.net.folded()
        return SpmGate(w1, b1, w2, b2, threshold=float(self.threshold))


class StaticPolicy(SanpGate):
    """SANP with a learned constant in place of the sample: the same channels for every input (STATIC ablation)."""

    def __init__(self, c_in: int, c_out: int, **options: float) -> None:
        super().__init__(c_in, c_out, **{**options, "standardise": False})  # type: ignore[arg-type]
        self.descriptor = nn.Parameter(torch.ones(1, c_in))

    @property
    def gate_hidden(self) -> int:  # type: ignore[override]
        """0: the decision is a constant, inference computes nothing for it."""
        return 0

    def saliency(self, x: Tensor) -> Tensor:
        """u [N, C_out], all rows equal."""
        with full_precision(x):
            return self.net(self.descriptor).expand(x.shape[0], -1)

    def export(self) -> StaticGate:  # type: ignore[override]
        """The constant scale, 0 where closed."""
        s = F.relu(self.net(self.descriptor))[0]
        return StaticGate((s * (s > self.threshold)).detach().clone())


class FixedKGate(SanpGate):
    """The k = ceil(density * C_out) largest saliencies of each sample stay open (FIXED K ablation).

    The k+1-th largest value is the threshold and must be exceeded, so ties close. The gradient flows through the
    saliency of open channels; there is neither noise nor a cost loss.
    """

    penalised = False

    def __init__(self, c_in: int, c_out: int, *, density: float = 0.5, **options: float) -> None:
        super().__init__(c_in, c_out, **options)  # type: ignore[arg-type]
        if not 0 < density <= 1:
            raise ConfigError(f"density is {density}, expected a share of channels in (0, 1]; correct it")
        self.c_out = c_out
        self.set_density(density)

    def set_density(self, density: float) -> None:
        """Keep ceil(density * C_out) channels from now on; the small offset keeps 0.3 * 10 at 3."""
        self.k = max(1, math.ceil(density * self.c_out - 1e-9))

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with at most k open channels per sample."""
        u = self.saliency(x)
        s = F.relu(u)
        limit = self.threshold.expand(s.shape[0], 1)
        if self.k < self.c_out:
            limit = torch.maximum(limit, s.topk(self.k + 1, dim=1).values[:, -1:])
        code = (s > limit).to(s.dtype)
        return Decision(u, s * code, code)

    def export(self) -> SpmGate:
        """As SANP, with k (0 when every channel may stay open)."""
        spm = super().export()
        return SpmGate(spm.w1, spm.b1, spm.w2, spm.b2, spm.threshold, self.k if self.k < self.c_out else 0)
