"""What a network costs after a removal, from its layer table alone: no network is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from sanp.pruning.groups import Groups, Removed
from sanp.tracing.layer_table import layer_table
from sanp.tracing.trace import trace
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense


class Counts(Protocol):
    """The part of a `sanp.cost.counter.Counter` that is needed here."""

    @property
    def dense(self) -> float:
        """Cost of the layers it was made of."""
        ...


class WidthCost:
    """Cost of a network, as a share, by how many units of each group leave.

    counter: what is counted, the same one as for gated networks. full: the cost that is 100 %; by default that of this
    network. Which units leave does not matter for the cost, only how many: every unit of a group is alike.
    """

    def __init__(
        self,
        network: nn.Module,
        example_input: Tensor,
        groups: Groups,
        counter: Callable[[Sequence[Layer]], Counts],
        full: float | None = None,
    ) -> None:
        self.layers = layer_table(trace(network, example_input))
        self.groups, self.counter = groups, counter
        self.full = counter(self.layers).dense if full is None else full
        # Channels of a side of a layer for one unit of a group.
        self._sides: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for name, group in groups.rows.items():
            for member in group.members:
                row = (name, len(member.channels) // group.width)
                self._sides.setdefault((member.layer, member.side), []).append(row)

    def share(self, counts: Mapping[str, int] | None = None) -> float:
        """Cost when so many units leave (group -> number, none by default), as a share of the full cost."""
        counts = counts or {}
        return self.counter([self._narrowed(row, counts) for row in self.layers]).dense / self.full

    def _narrowed(self, row: Layer, counts: Mapping[str, int]) -> Layer:
        gone = {
            side: sum(each * counts.get(name, 0) for name, each in self._sides.get((row.name, side), ()))
            for side in ("inputs", "outputs")
        }
        if not any(gone.values()):
            return row
        if row.groups > 1:  # depthwise: the outputs say both sides
            left = row.c_out - gone["outputs"]
            return replace(row, c_in=left, c_out=left, groups=left, support=Dense(left))
        c_in = row.c_in - gone["inputs"]
        return replace(row, c_in=c_in, c_out=row.c_out - gone["outputs"], support=Dense(c_in))


def widths_after(groups: Groups, removed: Removed) -> dict[str, int]:
    """Convolution -> filters that are left, for every convolution of the groups."""
    none = torch.empty(0, dtype=torch.int64)
    return {
        layer: group.width - len(removed.get(name, none))
        for name, group in groups.rows.items()
        for layer in group.layers
    }
