"""Costs that are a polynomial in the masks: so much for each pair of channels, output and input, and a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sanp.cost.together import counted_together
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import LayerCost, OpenChannels, count_costs


class PolynomialCounter:
    """Counts a layer table whose layers have these costs (a `Counter`); subclasses say in which unit."""

    unit = ""
    dense: float

    def __init__(self, layers: Sequence[Layer], costs: Sequence[LayerCost]) -> None:
        self.layers, self._costs = tuple(layers), tuple(costs)
        self._together = counted_together(self.layers, self._costs)

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Cost of each sample, float64 [N]; differentiable, also for masks between 0 and 1 (then pass float64)."""
        if self._together is not None and masks and next(iter(masks.values())).dtype == torch.float32:
            return self._together.sample_cost(masks)
        return self._counted(masks or {"": torch.ones(1, 1)})

    def filter_costs(self) -> dict[str, Tensor]:
        """What closing one filter saves: layer name -> float64 [C_out].

        Own row plus the consumers' columns, taken as the derivative of the cost with every mask at one half, where both
        operands of an addition still count.
        """
        masks = {
            row.name: torch.full((1, row.c_out), 0.5, dtype=torch.float64, requires_grad=True)
            for row in self.layers
            if row.gated
        }
        if not masks:
            return {}
        with torch.enable_grad():
            saved = torch.autograd.grad(self._counted(masks).sum(), list(masks.values()))
        return {name: grad[0] for name, grad in zip(masks, saved)}

    def _counted(self, masks: Mapping[str, Tensor]) -> Tensor:
        total: Tensor = count_costs(self.layers, self._costs, _OpenChannels(masks))
        return total


class _OpenChannels(OpenChannels):
    """The counts in torch, on the device of the masks and without a copy to the host."""

    def zeros(self) -> Tensor:
        return self.first.new_zeros(self.first.shape[0], dtype=torch.float64)

    def ones(self, channels: int) -> Tensor:
        return self.first.new_ones(self.first.shape[0], channels)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=1)

    def total(self, values: Tensor) -> Tensor:
        return values.sum(1, dtype=torch.float64)

    def add(self, total: Tensor, count: Tensor, factor: float) -> Tensor:
        return total.add(count, alpha=factor)  # one kernel instead of two in every layer of every training step
