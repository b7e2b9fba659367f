"""Multiply-accumulates as the unit of a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sanp.cost.together import counted_together
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, OpenChannels, count_macs, dense_macs


class MacCounter:
    """Counts the MACs of a layer table under one convention (a `Counter`); the default counts heads and gates."""

    unit = "MACs"

    def __init__(self, layers: Sequence[Layer], convention: Convention | None = None) -> None:
        self.layers, self.convention = tuple(layers), convention or Convention()
        self.dense: int = dense_macs(self.layers, convention)
        self._together = counted_together(self.layers, self.convention)

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """MACs of each sample, float64 [N]; differentiable, also for masks between 0 and 1 (then pass float64)."""
        if self._together is not None and masks and next(iter(masks.values())).dtype == torch.float32:
            return self._together.sample_cost(masks)
        total: Tensor = count_macs(self.layers, _OpenChannels(masks or {"": torch.ones(1, 1)}), self.convention)
        return total

    def filter_costs(self) -> dict[str, Tensor]:
        """MACs that closing one filter saves: layer name -> float64 [C_out].

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
        rule = Convention(self.convention.bias, self.convention.heads, "none")
        with torch.enable_grad():
            total = MacCounter(self.layers, rule).sample_cost(masks).sum()
            saved = torch.autograd.grad(total, list(masks.values()))
        return {name: grad[0] for name, grad in zip(masks, saved)}


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

    def add(self, total: Tensor, count: Tensor, factor: int) -> Tensor:
        return total.add(count, alpha=factor)  # one kernel instead of two in every layer of every training step
