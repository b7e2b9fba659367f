"""Searches for the one number that makes a network meet its budget: a gate threshold, or a density."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.gating.forward import forward
from sanp.tracing.trace import evaluation


def mean_cost(network: nn.Module, tracker: CostTracker, batches: Iterable[Batch]) -> float:
    """Mean over the samples of what the network costs in evaluation mode, as a share of the dense cost."""
    costs: list[torch.Tensor] = []
    with evaluation(network):
        for batch in batches:
            forward(network, batch)
            costs.append(tracker.shares())
    return float(torch.cat(costs).mean())


def smallest_threshold(cost: Callable[[float], float], budget: float) -> float:
    """Smallest threshold in [0, 1] at which `cost` is at most the budget; the last call of `cost` need not be at it.

    cost(threshold) measures the network as a share of its dense cost and falls with the threshold. A threshold can only
    close gates: a network below its budget keeps 0. Bisection to 0.004, at most nine measurements.
    """
    if cost(0.0) <= budget:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) > budget else (low, middle)
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
