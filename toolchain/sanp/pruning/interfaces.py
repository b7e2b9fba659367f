"""The two decisions before channels are removed: how much each one matters, and which stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn


class Importance(Protocol):
    """Scores the output channels of a layer."""

    def __call__(self, network: nn.Module, layer: str) -> Tensor:
        """Score of each output channel of the layer with this name, float [C_out]; the lowest leave first."""
        ...


class Selection(Protocol):
    """Decides from the scores of all layers which channels stay."""

    def __call__(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Layer -> indices of the channels that stay, int64, ascending, at least one; layers left out stay whole."""
        ...
