"""Groups of channels that can only be removed together: what they are, and what they look like after a removal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from sanp.pruning.surgery import Keep

Side = Literal["outputs", "inputs"]


@dataclass(frozen=True, eq=False)
class Member:
    """One side of a layer that belongs to a group.

    units, channels: int64 vectors of equal length; `channels[i]` of this side belongs to unit `units[i]`. A flattened
    map gives a linear layer several channels for one unit. For a batch norm or a depthwise convolution "outputs" says
    both sides.
    """

    layer: str
    side: Side
    units: Tensor
    channels: Tensor

    def of(self, units: Tensor) -> Tensor:
        """The channels of these units, int64."""
        return self.channels[torch.isin(self.units, units)]


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that leave together, as `width` units: what writes a unit, normalises it, and reads it.

    layers: the convolutions whose filters can be scored, in execution order, each with one filter for every unit.
    name: that of the first one. Every unit has equally many channels of a member.
    """

    name: str
    width: int
    members: tuple[Member, ...]
    layers: tuple[str, ...]

    def writes(self, layer: str) -> Member:
        """The filters of a convolution, in ascending order of channels."""
        return next(row for row in self.members if (row.layer, row.side) == (layer, "outputs"))

    @property
    def coupled(self) -> bool:
        """Whether several convolutions write the same channels, as in a residual stream."""
        return len(self.layers) > 1

    @property
    def readers(self) -> tuple[Member, ...]:
        """The members that multiply the channels with weights."""
        return tuple(member for member in self.members if member.side == "inputs")


# What is removed: name of a group -> its units, int64.
Removed = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a network by name, in execution order; untreated: layer -> why its channels have to stay."""

    rows: Mapping[str, Group]
    untreated: Mapping[str, str]

    def of_layer(self, layer: str) -> Group:
        """The (first) group that a convolution writes."""
        return next(group for group in self.rows.values() if layer in group.layers)

    def inner(self) -> Groups:
        """Only the groups that one convolution writes: the widths of residual streams stay as they are."""
        kept = {name: group for name, group in self.rows.items() if not group.coupled}
        coupled = [layer for group in self.rows.values() if group.coupled for layer in group.layers]
        why = dict.fromkeys(coupled, "its channels are added to those of other layers")
        return Groups(kept, {**self.untreated, **why})

    def channels(self, removed: Removed) -> dict[tuple[str, Side], Tensor]:
        """The channels that leave each side of each layer, int64, ascending."""
        found: dict[tuple[str, Side], list[Tensor]] = {}
        for name, units in removed.items():
            for member in self.rows[name].members:
                gone = member.of(units)
                if len(gone):
                    found.setdefault((member.layer, member.side), []).append(gone)
        return {key: torch.cat(parts).unique() for key, parts in found.items()}

    def keeps(self, removed: Removed, widths: Mapping[str, tuple[int, int]]) -> dict[str, Keep]:
        """What `narrow` needs; widths: layer -> input and output channels now."""
        kept: dict[str, Keep] = {}
        for (layer, side), gone in self.channels(removed).items():
            stays = torch.ones(widths[layer][side == "outputs"], dtype=torch.bool)
            stays[gone] = False
            kept[layer] = replace(kept.get(layer, Keep()), **{side: stays.nonzero()[:, 0]})
        return kept

    def after(self, removed: Removed) -> Groups:
        """The groups of the network that is left: units and channels counted anew."""
        gone = self.channels(removed)
        rows = {}
        for name, group in self.rows.items():
            units = removed.get(name, torch.empty(0, dtype=torch.int64))
            members = tuple(_without(member, units, gone.get((member.layer, member.side))) for member in group.members)
            rows[name] = Group(name, group.width - len(units), members, group.layers)
        return Groups(rows, self.untreated)


def _without(member: Member, units: Tensor, channels: Tensor | None) -> Member:
    stays = ~torch.isin(member.units, units)
    left_units, left = member.units[stays], member.channels[stays]
    left_units = left_units - torch.searchsorted(units.sort().values, left_units)
    if channels is not None:
        left = left - torch.searchsorted(channels, left)
    return Member(member.layer, member.side, left_units, left)
