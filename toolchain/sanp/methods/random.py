"""Control: channels are open at random. The lower bound of a comparison."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from sanp.gating.policy import Decision, GatePolicy
from sanp.methods.gated import DensityMethod, GatedSettings
from sanp_export.spec import SpmGate, StaticGate
from sanp_targets.errors import ConfigError, ExportError


class RandomGate(GatePolicy):
    """Every channel of every sample is open with probability `density`, also in evaluation."""

    def __init__(self, c_in: int, c_out: int, *, density: float = 0.5) -> None:
        super().__init__()
        if not 0 < density <= 1:
            raise ConfigError(f"density is {density}, expected a probability in (0, 1]; correct it")
        self.c_out, self.density = c_out, density

    def set_density(self, density: float) -> None:
        """Open channels with this probability from now on."""
        self.density = density

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with a fresh random mask."""
        mask = (torch.rand(x.shape[0], self.c_out, device=x.device) < self.density).float()
        return Decision(torch.ones_like(mask), mask, mask)

    def export(self) -> SpmGate | StaticGate:
        """Always raises: a random draw has no ONNX form here."""
        raise ExportError(
            "a random gate has no exported form, expected a learned or static gate; "
            "export with the gates as mask inputs and feed random masks"
        )


class RandomSettings(GatedSettings):
    """Options of random gates."""

    density: float = Field(0.5, gt=0, le=1, description="probability that a channel is open; training sets it")


class Random(DensityMethod):
    """Gates that learn nothing."""

    Settings = RandomSettings

    def make_gate(self, c_in: int, c_out: int) -> GatePolicy:
        """The random gate."""
        return RandomGate(c_in, c_out, density=self.settings.density)
