"""What a budget is counted in: the one thing that the controller, calibration and the cost loss know of costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Counter(Protocol):
    """Counts what a network costs for one sample, from the masks of its gated layers."""

    @property
    def unit(self) -> str:
        """What is counted, in the plural: "MACs"."""
        ...

    @property
    def dense(self) -> float:
        """Cost of the network with every channel computed and no gates."""
        ...

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Cost of each sample, float64 [N], for masks [N, C_out] by gated layer; [1] for a network without gates.

        No value may be copied to the host: this runs in every training step.
        """
        ...

    def filter_costs(self) -> dict[str, Tensor]:
        """What closing one filter saves, in `unit`: layer name -> float64 [C_out]; gates themselves not counted."""
        ...
