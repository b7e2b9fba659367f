"""Costs of 0/1 masks, all layers in one product: a training step starts twenty small operations, not eight per layer.

Numbers of channels are whole, and so are their products: a sum of MACs is the same in any order, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import LayerCost
from sanp_runtime.network.support import AnyOf, Dense, Gate, Support, evaluate


class CountedTogether:
    """Cost = constant + counts @ linear + sum of quadratic * counts[first] * counts[second].

    counts [N, S]: open channels of each of the S distinct `supports`.
    """

    def __init__(
        self,
        supports: Sequence[Support],
        constant: float,
        linear: Sequence[float],
        products: Sequence[tuple[int, int, float]],
    ) -> None:
        self.supports, self.constant = tuple(supports), constant
        self._linear = torch.tensor(linear, dtype=torch.float64)
        self._first = torch.tensor([row[0] for row in products], dtype=torch.int64)
        self._second = torch.tensor([row[1] for row in products], dtype=torch.int64)
        self._factors = torch.tensor([row[2] for row in products], dtype=torch.float64)
        self._members: Tensor | None = None

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Cost of each sample, float64 [N], from masks 0/1 [N, C_out] by gated layer."""
        first = next(iter(masks.values()))
        known: dict[Support, Tensor] = {}
        parts = [self._mask(support, masks, known) for support in self.supports]
        if self._members is None or self._members.device != first.device:
            self._move(first.device, [part.shape[1] for part in parts])
        assert self._members is not None
        counts = torch.cat(parts, dim=1).double() @ self._members
        pairs = counts.index_select(1, self._first) * counts.index_select(1, self._second)
        return counts @ self._linear + pairs @ self._factors + self.constant

    def _mask(self, support: Support, masks: Mapping[str, Tensor], known: dict[Support, Tensor]) -> Tensor:
        """The mask of a support. An OR goes on from the one of its first parts, which the block before it needed."""
        if support not in known:
            named, short = dict(masks), support
            if isinstance(support, AnyOf) and AnyOf(support.parts[:-1]) in known:
                named[""] = known[AnyOf(support.parts[:-1])]
                short = AnyOf((Gate(""), support.parts[-1]))
            first = next(iter(masks.values()))
            known[support] = evaluate(
                short,
                named,
                lambda channels: first.new_ones(len(first), channels),
                lambda some: torch.cat(list(some), 1),
            )
        return known[support]

    def _move(self, device: torch.device, widths: Sequence[int]) -> None:
        """Constants to the device of the masks, once."""
        ones = [torch.ones(width, 1, dtype=torch.float64) for width in widths]
        self._members = torch.block_diag(*ones).to(device)
        self._linear, self._factors = self._linear.to(device), self._factors.to(device)
        self._first, self._second = self._first.to(device), self._second.to(device)


def counted_together(layers: Sequence[Layer], costs: Sequence[LayerCost]) -> CountedTogether | None:
    """The layers as one product; None where there is nothing to count, or where groups decide what meets."""
    supports: dict[Support, int] = {}
    linear: dict[int, float] = {}
    constant: float = 0
    products: list[tuple[int, int, float]] = []

    def place(support: Support) -> int:
        return supports.setdefault(support, len(supports))

    def for_each(support: Support, factor: float) -> None:
        nonlocal constant
        if isinstance(support, Dense):
            constant += factor * support.channels
        elif factor:
            linear[place(support)] = linear.get(place(support), 0) + factor

    for layer, cost in zip(layers, costs):
        constant += cost.constant
        for_each(layer.outputs, cost.per_output)
        for_each(layer.support, cost.per_input)
        if not cost.per_pair:
            continue
        if layer.groups != 1:
            met = _pairs_of_groups(layer)
            if met is None:
                return None
            for_each(met, cost.per_pair)
        elif isinstance(layer.support, Dense):
            for_each(layer.outputs, cost.per_pair * layer.support.channels)
        elif isinstance(layer.outputs, Dense):
            for_each(layer.support, cost.per_pair * layer.c_out)
        else:
            products.append((place(layer.support), place(layer.outputs), cost.per_pair))
    if not supports:
        return None
    return CountedTogether(list(supports), constant, [linear.get(i, 0) for i in range(len(supports))], products)


def _pairs_of_groups(layer: Layer) -> Support | None:
    """A support with as many channels as there are pairs of an open output and an active input; None if there is none.

    In a depthwise layer a channel meets itself alone.
    """
    inputs, outputs = layer.support, layer.outputs
    if isinstance(inputs, Dense) and isinstance(outputs, Dense):
        return Dense(layer.c_out * layer.c_in // layer.groups)
    if not layer.is_depthwise:
        return None
    if isinstance(outputs, Dense) or inputs == outputs:
        return inputs
    return outputs if isinstance(inputs, Dense) else None
