"""Multiply-accumulates as the unit of a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, dense_macs, grouped_pairs, spm_macs
from sanp_runtime.network.support import Dense, Gate, Support, evaluate


class MacCounter:
    """Counts the MACs of a layer table under one convention (a `Counter`); the default counts heads and gates."""

    unit = "MACs"

    def __init__(self, layers: Sequence[Layer], convention: Convention | None = None) -> None:
        self.layers, self.convention = tuple(layers), convention or Convention()
        self.dense: int = dense_macs(self.layers, convention)

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """MACs of each sample, float64 [N]; differentiable, also for masks between 0 and 1 (then pass float64)."""
        rule, counts = self.convention, _Counts(masks)
        total, constant = counts.zeros(), 0
        for layer in self.layers:
            if layer.head and not rule.heads:
                continue
            area = layer.out_hw[0] * layer.out_hw[1]
            terms = [(counts.pairs(layer), area * layer.kernel[0] * layer.kernel[1])]
            if rule.bias:
                terms.append((counts.out(layer), rule.bias * area))
            for count, factor in terms:
                if isinstance(count, Tensor):
                    total = total.add(count, alpha=factor)
                else:
                    constant += factor * count
            constant += spm_macs(layer, rule.spm)
        return total + constant

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


class _Counts:
    """How many channels of each tensor are open, float64 [N] (an int for dense ones); every sum is taken once."""

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self.masks, self.first = masks, next(iter(masks.values()), torch.ones(1, 1))
        self.known: dict[Support, Tensor | int] = {}

    def zeros(self) -> Tensor:
        return self.first.new_zeros(self.first.shape[0], dtype=torch.float64)

    def open(self, support: Support) -> Tensor | int:
        """Open channels of a tensor with this support."""
        if support not in self.known:
            if isinstance(support, Dense):
                self.known[support] = support.channels
            else:
                self.known[support] = self.mask(support).sum(1, dtype=torch.float64)
        return self.known[support]

    def out(self, layer: Layer) -> Tensor | int:
        """Output channels that the layer computes."""
        return self.open(Gate(layer.name)) if layer.gated else layer.c_out

    def pairs(self, layer: Layer) -> Tensor | int:
        """Pairs of an open input and an open output channel that meet in a group."""
        if layer.groups == 1:
            return self.open(layer.support) * self.out(layer)
        outputs = self.masks[layer.name] if layer.gated else self.ones(layer.c_out)
        return grouped_pairs(self.mask(layer.support).double(), outputs.double(), layer.groups)

    def mask(self, support: Support) -> Tensor:
        """Which channels [N, C] of a tensor with this support are open."""
        return evaluate(support, self.masks, self.ones, lambda parts: torch.cat(list(parts), dim=1))

    def ones(self, channels: int) -> Tensor:
        return self.first.new_ones(self.first.shape[0], channels)
