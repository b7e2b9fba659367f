"""Control: gates are told the mode of each sample. The upper bound of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from sanp.data.batch import Batch
from sanp.data.dataset import Dataset
from sanp.gating.policy import GatePolicy, full_precision
from sanp.gating.saliency_gate import SaliencyGate
from sanp.methods.gated import PenalisedMethod, PenalisedSettings
from sanp_export.spec import SpmGate, StaticGate
from sanp_targets.errors import ConfigError, ExportError


class ModeGate(SaliencyGate):
    """The gate is told the mode of each sample (one-hot) instead of looking at it."""

    def __init__(self, c_in: int, c_out: int, *, num_modes: int = 4, **options: float) -> None:
        super().__init__(num_modes, c_out, **{**options, "standardise": False})  # type: ignore[arg-type]
        self.num_modes = num_modes
        self.modes: Tensor | None = None

    @property
    def gate_hidden(self) -> int:  # type: ignore[override]
        """0: a table look-up."""
        return 0

    def tell(self, batch: Batch) -> None:
        """Remember the modes of the next batch."""
        self.modes = batch.modes

    def saliency(self, x: Tensor) -> Tensor:
        """u [N, groups] from the modes; ConfigError if they were not told for this batch."""
        if self.modes is None or self.modes.shape[0] != x.shape[0]:
            found = "none" if self.modes is None else f"{self.modes.shape[0]}"
            raise ConfigError(
                f"oracle gate got {found} mode labels for {x.shape[0]} samples, expected one each; run the network "
                "with sanp.gating.forward and a Batch that has modes"
            )
        with full_precision(x):
            return self.net(F.one_hot(self.modes.to(x.device), self.num_modes).float())

    def export(self) -> SpmGate | StaticGate:
        """Always raises: the device does not know the mode."""
        raise ExportError(
            "an oracle gate needs mode labels that a device does not have, expected a gate that looks at its input; "
            "export a network trained with another method"
        )


class OracleSettings(PenalisedSettings):
    """Options of the oracle."""

    num_modes: int = Field(4, ge=1, le=1024, description="modes of the data set; a run takes them from its data")


class Oracle(PenalisedMethod):
    """One set of channels for each mode of the data set."""

    Settings = OracleSettings
    needs = ("mode",)

    @classmethod
    def fitted(cls, options: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
        """As many modes as the training split has."""
        return {**options, "num_modes": int(dataset.train.extra["mode"].max()) + 1}

    def make_gate(self, c_in: int, c_out: int) -> GatePolicy:
        """The gate that knows the mode."""
        names = ("reduction", "hidden_min", "noise", "soft_share", "threshold", "num_modes", "group")
        return ModeGate(c_in, c_out, **{name: getattr(self.settings, name) for name in names})
