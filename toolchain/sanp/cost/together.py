"""MACs of 0/1 masks, all layers in one product: a training step starts twenty small operations, not eight per layer.

Numbers of channels are whole, and so are their products: the sum is the same in any order, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, layer_cost
from sanp_runtime.network.support import AnyOf, Dense, Gate, Support, evaluate


class CountedTogether:
    """Cost = constant + counts @ linear + sum of quadratic * counts[first] * counts[second].

    counts [N, S]: open channels of each of the S distinct `supports`.
    """

    def __init__(
        self,
        supports: Sequence[Support],
        constant: int,
        linear: Sequence[int],
        products: Sequence[tuple[int, int, int]],
    ) -> None:
        self.supports, self.constant = tuple(supports), constant
        self._linear = torch.tensor(linear, dtype=torch.float64)
        self._first, self._second = (torch.tensor([row[i] for row in products], dtype=torch.int64) for i in (0, 1))
        self._factors = torch.tensor([row[2] for row in products], dtype=torch.float64)
        self._members: Tensor | None = None

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """MACs of each sample, float64 [N], from masks 0/1 [N, C_out] by gated layer."""
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


def counted_together(layers: Sequence[Layer], convention: Convention) -> CountedTogether | None:
    """The layers as one product; None where there is nothing to count, or where groups decide what meets."""
    supports: dict[Support, int] = {}

    def place(support: Support) -> int:
        return supports.setdefault(support, len(supports))

    constant, products = 0, []
    linear: dict[int, int] = {}
    for layer in layers:
        cost = layer_cost(layer, convention)
        constant += cost.constant
        outputs = None if isinstance(layer.outputs, Dense) else place(layer.outputs)
        if outputs is None:
            constant += cost.per_output * layer.c_out
        else:
            linear[outputs] = linear.get(outputs, 0) + cost.per_output
        if not cost.per_pair:
            continue
        if layer.groups != 1:
            met = _pairs_of_groups(layer)
            if met is None:
                return None
            if isinstance(met, Dense):
                constant += cost.per_pair * met.channels
            else:
                linear[place(met)] = linear.get(place(met), 0) + cost.per_pair
            continue
        if isinstance(layer.support, Dense):
            if outputs is None:
                constant += cost.per_pair * layer.support.channels * layer.c_out
            else:
                linear[outputs] = linear.get(outputs, 0) + cost.per_pair * layer.support.channels
        elif outputs is None:
            inputs = place(layer.support)
            linear[inputs] = linear.get(inputs, 0) + cost.per_pair * layer.c_out
        else:
            products.append((place(layer.support), outputs, cost.per_pair))
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
