"""SANP: a learned gate per sample, trained against a budget (arXiv 1910.08906)."""

from __future__ import annotations

from pydantic import Field

from sanp.gating.policy import GatePolicy
from sanp.gating.saliency_gate import SaliencyGate
from sanp.methods.gated import PenalisedMethod, PenalisedSettings


class SanpSettings(PenalisedSettings):
    """Options of SANP."""

    standardise: bool = Field(True, description="standardise pooled inputs of the saliency modules")


class Sanp(PenalisedMethod):
    """Each layer looks at its pooled input and switches channels off, sample by sample."""

    Settings = SanpSettings

    def make_gate(self, c_in: int, c_out: int) -> GatePolicy:
        """The learned gate."""
        names = ("reduction", "hidden_min", "noise", "soft_share", "threshold", "standardise", "group")
        return SaliencyGate(c_in, c_out, **{name: getattr(self.settings, name) for name in names})
