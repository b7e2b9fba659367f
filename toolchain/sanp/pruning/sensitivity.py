"""The sensitivity scan: what each layer's removal alone does to a measure, without training (Li et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from sanp.models.widths import scaled
from sanp.pruning.criteria import group_scores
from sanp.pruning.groups import Groups
from sanp.pruning.interfaces import Importance
from sanp.pruning.removal import masked
from sanp.pruning.selection import lowest


def sensitivity(
    network: nn.Module,
    groups: Groups,
    score: Importance,
    measure: Callable[[nn.Module], float],
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
) -> dict[str, list[float]]:
    """Group -> the measure of the network without each share of that group's lowest units, in the order of the shares.

    measure: such as the accuracy on a validation split; it puts the network into evaluation mode itself. Layers whose
    curve falls early should keep more: widths for L1 are read off these curves. The network is as before afterwards.
    """
    scores = group_scores(network, groups, score)
    found: dict[str, list[float]] = {}
    for name, group in groups.rows.items():
        found[name] = []
        for share in shares:
            count = min(group.width - 1, scaled(group.width, share))
            with masked(network, groups, {name: lowest(scores[name], count)}):
                found[name].append(measure(network))
    return found
