"""Clusters of units: assigned once, pulled together while training, and merged into one of them without loss (FCP)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sanp.pruning.criteria import cluster_survivors, filters
from sanp.pruning.groups import Group, Groups, Member
from sanp.pruning.layer_width import axes_of
from sanp.pruning.selection import lowest

# Name of a group -> cluster of each unit, int64 [width], numbers from 0.
Clusters = Mapping[str, Tensor]


def even(width: int, count: int) -> Tensor:
    """The units in their order, split into `count` clusters of nearly equal size, int64 [width]."""
    return torch.arange(width) * count // width


def k_means(network: nn.Module, group: Group, count: int, rounds: int = 20) -> Tensor:
    """Clusters of similar filters of all layers that write the group, int64 [width]; no cluster is empty.

    Starts from the filter with the largest norm, then always the one that is farthest from all centres: the same
    filters give the same clusters.
    """
    rows = torch.cat([_rows(network, group, layer) for layer in group.layers], dim=1)
    centres = [int(rows.norm(dim=1).argmax())]
    while len(centres) < count:
        apart = torch.cdist(rows, rows[centres]).amin(1)
        apart[centres] = -1.0
        centres.append(int(apart.argmax()))
    means, own = rows[centres], torch.arange(count)
    numbers = torch.zeros(group.width, dtype=torch.int64)
    for _ in range(rounds):
        numbers = torch.cdist(rows, means).argmin(1)
        numbers[torch.tensor(centres)] = own  # a centre stays in its cluster, so that none is empty
        means = torch.stack([rows[numbers == index].mean(0) for index in range(count)])
    return numbers


def _rows(network: nn.Module, group: Group, layer: str) -> Tensor:
    written, found = group.writes(layer), filters(network, layer).cpu().double()
    rows = torch.empty(group.width, found.shape[1], dtype=torch.float64)
    rows[written.units] = found[written.channels]
    return rows


class Pull:
    """What keeps the units of a cluster apart: everything that writes or normalises them."""

    def __init__(self, network: nn.Module, groups: Groups, clusters: Clusters) -> None:
        self.rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for name, numbers in clusters.items():
            counts = numbers.bincount().double()
            for member in groups.rows[name].members:
                for value in _written(network, member) if member.side == "outputs" else ():
                    place = (member.channels.to(value.device), numbers[member.units].to(value.device))
                    self.rows.append((value, *place, counts.to(value)))

    def distance(self) -> Tensor:
        """Half the sum of the squared distances from the cluster means, a scalar with gradient."""
        return torch.stack([0.5 * self._apart(*row).square().sum() for row in self.rows]).sum()

    def radius(self) -> float:
        """Root of the mean squared distance from the cluster means, relative to that from zero."""
        with torch.no_grad():
            apart = sum(float(self._apart(*row).square().sum()) for row in self.rows)
            whole = sum(float(value[channels].square().sum()) for value, channels, _, _ in self.rows)
        return (apart / max(whole, 1e-30)) ** 0.5

    @staticmethod
    def _apart(value: Tensor, channels: Tensor, numbers: Tensor, counts: Tensor) -> Tensor:
        rows = value[channels].flatten(1) if value.dim() > 1 else value[channels][:, None]
        means = rows.new_zeros(len(counts), rows.shape[1]).index_add(0, numbers, rows) / counts[:, None]
        return rows - means[numbers]


def _written(network: nn.Module, member: Member) -> list[nn.Parameter]:
    module = network.get_submodule(member.layer)
    values = (getattr(module, name) for name in axes_of(module))
    return [value for value in values if isinstance(value, nn.Parameter)]


def survivors(numbers: Tensor) -> Tensor:
    """For each unit the first one of its cluster, int64 [width]."""
    first = torch.full((int(numbers.max()) + 1,), len(numbers)).scatter_reduce(
        0, numbers, torch.arange(len(numbers)), reduce="amin"
    )
    return first[numbers]


def others(clusters: Clusters) -> dict[str, Tensor]:
    """The units that are not the first of their cluster, by group: what leaves."""
    scores = {name: cluster_survivors(numbers) for name, numbers in clusters.items()}
    return {name: lowest(score, int((score == 0).sum())) for name, score in scores.items()}


def merge(network: nn.Module, groups: Groups, clusters: Clusters) -> None:
    """Let the next layers read from each cluster's first unit what they read from all of it, in place.

    Where the units of a cluster are equal, the network computes what it did, and the others can be removed.
    """
    with torch.no_grad():
        for name, numbers in clusters.items():
            heirs = survivors(numbers)
            for member in groups.rows[name].readers:
                weight = network.get_submodule(member.layer).weight
                assert isinstance(weight, Tensor)
                order = member.units.argsort(stable=True)  # unit by unit, each unit's channels in ascending order
                channels = member.channels[order].view(groups.rows[name].width, -1)
                source, target = channels.flatten(), channels[heirs].flatten()
                moved = source != target
                source, target = source[moved].to(weight.device), target[moved].to(weight.device)
                weight.index_add_(1, target, weight[:, source])
                weight[:, source] = 0
