"""Searches for the one number that makes a network meet its budget: a gate threshold, or a density."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.gating.forward import forward
from sanp.tracing.trace import evaluation

_HALVINGS = 10
_NEAR = 0.001  # of the dense cost
_WIDEST = 2.0**20  # saliencies above this are none


def mean_cost(network: nn.Module, tracker: CostTracker, batches: Iterable[Batch]) -> float:
    """Mean over the samples of what the network costs in evaluation mode, as a share of the dense cost."""
    costs: list[torch.Tensor] = []
    with evaluation(network):
        for batch in batches:
            forward(network, batch)
            costs.append(tracker.shares())
    return float(torch.cat(costs).mean())


def smallest_threshold(cost: Callable[[float], float], budget: float, least: float = 0.0) -> float:
    """Smallest threshold from `least` on at which `cost` is at most the budget; the last call need not be at it.

    cost(threshold) measures the network as a share of its dense cost; it falls with the threshold, if not at every
    step. A threshold can only close: a network below its budget keeps `least`. Bisection, to 0.1 % of the dense cost
    below the budget or a thousandth of the range: at most twelve measurements, and one more for each doubling of a
    range that begins with 1.
    """
    if cost(least) <= budget:
        return least
    low, high, size = least, least + 1.0, 1.0
    while cost(high) > budget and size < _WIDEST:
        size *= 2
        low, high = high, least + size
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = cost(middle)
        low, high = (middle, high) if found > budget else (low, middle)
        if budget - _NEAR < found <= budget:
            break
    return high


def largest_share(cost: Callable[[float], float], budget: float) -> float:
    """Largest planned cost in (0, 1] at which the measured `cost` is at most the budget, or nearly 0 if there is none.

    cost(planned) plans for this cost and measures the network, both as shares of its dense cost; it rises with the
    plan, in steps: a layer opens whole channels. Bisection to 0.004, at most nine measurements.
    """
    if cost(1.0) <= budget:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return max(low, (high - low) / 2)


def density_for(cost: Callable[[float], float], budget: float) -> float:
    """Share of open channels, the same in every layer, whose expected cost is the budget; cost rises with it."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) < budget else (low, middle)
    return high
