"""Gates that learn nothing useful or know too much: the lower and the upper bound of a comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sanp.gating.policies import Decision, GatePolicy, SanpGate, full_precision
from sanp_export.spec import SpmGate, StaticGate
from sanp_targets.errors import ConfigError, ExportError


class RandomGate(GatePolicy):
    """Control: every channel of every sample is open with probability `density`, also in evaluation."""

    def __init__(self, c_in: int, c_out: int, *, density: float = 0.5) -> None:
        super().__init__()
        if not 0 < density <= 1:
            raise ConfigError(f"density is {density}, expected a probability in (0, 1]; correct it")
        self.c_out, self.density = c_out, density

    def set_density(self, density: float) -> None:
        """Open channels with this probability from now on."""
        self.density = density

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with a fresh random code."""
        code = (torch.rand(x.shape[0], self.c_out, device=x.device) < self.density).float()
        return Decision(torch.ones_like(code), code, code)

    def export(self) -> SpmGate | StaticGate:
        """Always raises: a random draw has no ONNX form here."""
        raise ExportError(
            "a random gate has no exported form, expected a learned or static gate; "
            "export with the gates as mask inputs and feed random masks"
        )


class OracleGate(SanpGate):
    """Control: the gate is told the mode of each sample (one-hot) instead of looking at it; an upper bound.

    Set `modes`, int64 [N], before each forward pass, `sanp.gating.controls.tell_modes` does it for a whole network.
    """

    def __init__(self, c_in: int, c_out: int, *, num_modes: int = 4, **options: float) -> None:
        super().__init__(num_modes, c_out, **{**options, "standardise": False})  # type: ignore[arg-type]
        self.num_modes = num_modes
        self.modes: Tensor | None = None

    @property
    def gate_hidden(self) -> int:  # type: ignore[override]
        """0: a table look-up."""
        return 0

    def saliency(self, x: Tensor) -> Tensor:
        """u [N, C_out] from the modes; ConfigError if they were not set for this batch."""
        if self.modes is None or self.modes.shape[0] != x.shape[0]:
            found = "none" if self.modes is None else f"{self.modes.shape[0]}"
            raise ConfigError(f"oracle gate got {found} mode labels for {x.shape[0]} samples; call tell_modes first")
        with full_precision(x):
            return self.net(F.one_hot(self.modes.to(x.device), self.num_modes).float())

    def export(self) -> SpmGate | StaticGate:  # type: ignore[override]
        """Always raises: the device does not know the mode."""
        raise ExportError("an oracle gate needs mode labels that a device does not have; export another policy")
