"""Selectors: how many units of each group stay, and which, under a budget, a cap and a multiple."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sanp.models.widths import scaled
from sanp.pruning.groups import Groups
from sanp.pruning.width_cost import WidthCost
from sanp_targets.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """What every selection keeps to. cap: largest share of a group that may leave; at least one unit always stays.

    multiple: widths are kept to multiples of this number (a group that is narrower keeps all). Kernels work on vectors
    of 8 or 16 channels, and tensor cores on tiles of 8: a width of 33 takes as many as one of 40. Cost in MACs does not
    see that, latency does. Widths in steps of 8 or 16 cannot meet a budget as closely as single channels do.
    """

    cap: float = 1.0
    multiple: int = 1

    def least(self, width: int) -> int:
        """Units that have to stay of a group that had `width` in the beginning."""
        return self.allowed(width, max(1, width - int(self.cap * width + 1e-9)))

    def allowed(self, width: int, wanted: int) -> int:
        """The smallest allowed number of units that is at least `wanted`, of a group of `width`."""
        return min(width, -(-max(1, wanted) // self.multiple) * self.multiple)

    def lower(self, width: int, wanted: int) -> int:
        """The largest allowed number of units that is at most `wanted`, not below `least`."""
        return max(self.least(width), wanted // self.multiple * self.multiple if wanted < width else width)


def floor(groups: Groups, cost: WidthCost, limits: Limits) -> float:
    """Least cost that a selection can reach, as a share."""
    return cost.share({name: group.width - limits.least(group.width) for name, group in groups.rows.items()})


def uniform(groups: Groups, cost: WidthCost, limits: Limits, budget: float) -> dict[str, int]:
    """Units that leave each group when all keep the same share of their width: the largest one that meets the budget.

    Rounding moves several groups at once, so single steps of the groups that lost most to it are then given back while
    the budget allows. Group -> number. Raises ConfigError if the budget is below the floor.
    """
    check_floor(groups, cost, limits, budget)

    def left(ratio: float) -> dict[str, int]:
        return {name: limits.lower(row.width, scaled(row.width, ratio)) for name, row in groups.rows.items()}

    ratio = largest_share(lambda share: cost.share(_gone(groups, left(share))), budget)
    order = sorted(groups.rows, key=lambda name: left(ratio)[name] - ratio * groups.rows[name].width)
    return _gone(groups, given_back(groups, cost, limits, budget, left(ratio), order))


def by_threshold(
    scores: Mapping[str, Tensor], groups: Groups, cost: WidthCost, limits: Limits, budget: float
) -> dict[str, Tensor]:
    """Units that leave when one threshold on all scores decides: the smallest one that meets the budget.

    scores: group -> float [width]; a unit stays if its score is strictly above the threshold, or if its group would
    become too narrow. Group -> int64 units. Raises ConfigError if the budget is below the floor.
    """
    check_floor(groups, cost, limits, budget)
    values = torch.cat([scores[name].flatten().cpu().double() for name in groups.rows]).sort().values
    thresholds = [-torch.inf, *values.tolist()]  # published: the value at index floor(percent of all channels)

    def removed(index: int) -> dict[str, Tensor]:
        return below(scores, thresholds[index], groups, limits)

    low, high = 0, len(thresholds) - 1
    while low < high:
        middle = (low + high) // 2
        met = cost.share({name: len(units) for name, units in removed(middle).items()}) <= budget
        low, high = (low, middle) if met else (middle + 1, high)
    return removed(high)


def below(scores: Mapping[str, Tensor], threshold: float, groups: Groups, limits: Limits) -> dict[str, Tensor]:
    """Units whose score is not strictly above the threshold, except the best ones that have to stay."""
    removed = {}
    for name, group in groups.rows.items():
        score = scores[name].flatten().cpu().double()
        stays = int((score > threshold).sum())
        left = max(limits.least(group.width), limits.allowed(group.width, stays))
        if left < group.width:
            removed[name] = lowest(score, group.width - left)
    return removed


def lowest(scores: Tensor, count: int) -> Tensor:
    """Indices of the lowest scores, int64, ascending; the first of equal ones leave first."""
    return scores.cpu().argsort(stable=True)[:count].sort().values


def largest_share(cost: Callable[[float], float], budget: float) -> float:
    """The largest share in [0, 1] whose cost is at most the budget; cost rises with it."""
    if cost(1.0) <= budget:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return low


def check_floor(groups: Groups, cost: WidthCost, limits: Limits, budget: float) -> None:
    """ConfigError if no allowed selection meets the budget."""
    least = floor(groups, cost, limits)
    if least > budget:
        raise ConfigError(
            f"budget is {budget:g} of the dense cost, expected at least {least:.4f}, which the layers that keep their "
            "channels and the least widths of the others cost; raise the budget or the cap"
        )


def _gone(groups: Groups, left: Mapping[str, int]) -> dict[str, int]:
    return {name: row.width - left[name] for name, row in groups.rows.items() if left[name] < row.width}


def given_back(
    groups: Groups, cost: WidthCost, limits: Limits, budget: float, left: dict[str, int], order: Sequence[str]
) -> dict[str, int]:
    """Widths after every group, in this order, has taken one step back up where the budget allows it."""
    for name in order:
        width = groups.rows[name].width
        wider = {**left, name: limits.allowed(width, left[name] + 1)}
        if wider[name] > left[name] and cost.share(_gone(groups, wider)) <= budget:
            left = wider
    return left
