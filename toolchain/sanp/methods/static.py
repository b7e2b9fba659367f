"""STATIC ablation: SANP with a learned constant in place of the sample, so that all inputs use the same channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.gating.policy import GatePolicy, full_precision
from sanp.gating.saliency_gate import SaliencyGate
from sanp.methods.gated import PenalisedMethod
from sanp_export.spec import StaticGate


class ConstantGate(SaliencyGate):
    """The saliency of a learned descriptor [1, C_in] that does not depend on the input."""

    def __init__(self, c_in: int, c_out: int, **options: float) -> None:
        super().__init__(c_in, c_out, **{**options, "standardise": False})  # type: ignore[arg-type]
        self.descriptor = nn.Parameter(torch.ones(1, c_in))

    @property
    def gate_hidden(self) -> int:  # type: ignore[override]
        """0: the decision is a constant, inference computes nothing for it."""
        return 0

    def saliency(self, x: Tensor) -> Tensor:
        """u [N, groups], all rows equal."""
        with full_precision(x):
            return self.net(self.descriptor).expand(x.shape[0], -1)

    def export(self) -> StaticGate:
        """The constant scale, 0 where closed."""
        s = F.relu(self.net(self.descriptor))[0]
        return StaticGate(self.spread(s * (s > self.threshold)).detach().clone())


class Static(PenalisedMethod):
    """The same channels for every input."""

    def make_gate(self, c_in: int, c_out: int) -> GatePolicy:
        """The constant gate."""
        names = ("reduction", "hidden_min", "noise", "soft_share", "threshold", "group")
        return ConstantGate(c_in, c_out, **{name: getattr(self.settings, name) for name in names})
