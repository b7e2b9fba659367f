"""Removal of units of groups from a network, and the same network with those units masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sanp.pruning.groups import Groups, Removed
from sanp.pruning.layer_width import is_depthwise, width_of
from sanp.pruning.surgery import narrow
from sanp_targets.errors import ConfigError


def remove(
    network: nn.Module, groups: Groups, removed: Removed, momentum: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Remove units from a network, in place; returns the momentum of the parameters that are left, by name.

    removed: name of a group -> int64 units, counted in the group as it is. Raises ConfigError, before anything is
    changed, if a group would be empty.
    """
    for name, units in removed.items():
        if len(units.unique()) >= groups.rows[name].width:
            raise ConfigError(
                f"all {groups.rows[name].width} channels of layer {name} would be removed, expected at least one to "
                "stay; raise the budget or lower the cap"
            )
    widths = {name: width for name, module in network.named_modules() if (width := width_of(module)) is not None}
    return narrow(network, groups.keeps({name: units.cpu() for name, units in removed.items()}, widths), momentum or {})


@contextmanager
def masked(network: nn.Module, groups: Groups, removed: Removed) -> Iterator[None]:
    """While it is open, the network computes what it would compute without these units.

    The weights with which the next layers read the units are zero. This is removal without its surgery: the units are
    still computed, nothing else sees them. It holds for every operation that keeps channels apart, whatever it makes of
    zero. Weights are put back bit for bit.
    """
    with torch.no_grad():
        saved: list[tuple[Tensor, Tensor, Tensor]] = []
        for name, units in removed.items():
            for member in groups.rows[name].readers:
                weight = network.get_submodule(member.layer).weight
                assert isinstance(weight, Tensor) and not is_depthwise(network.get_submodule(member.layer))
                channels = member.of(units.cpu()).to(weight.device)
                saved.append((weight, channels, weight[:, channels]))
                weight[:, channels] = 0
        try:
            yield
        finally:
            for weight, channels, value in reversed(saved):
                weight[:, channels] = value
