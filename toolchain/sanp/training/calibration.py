"""The last step to the budget: one threshold for all gates, found on training images."""

from __future__ import annotations

import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.gating.controls import set_density, set_threshold, tell_modes
from sanp.tracing.trace import evaluation
from sanp.training.batches import Batches

_MAX_SAMPLES = 2048


def mean_cost(model: nn.Module, tracker: CostTracker, batches: Batches, batch_size: int = 256) -> float:
    """Cost on the first images of a split in evaluation mode, as a share of the dense MACs."""
    costs: list[torch.Tensor] = []
    with evaluation(model):
        for index, rows in enumerate(batches.sequential(batch_size)):
            if index * batch_size >= _MAX_SAMPLES:
                break
            if batches.modes is not None:
                tell_modes(model, batches.modes[rows])
            model(batches.normalised(rows))
            costs.append(tracker.sample_macs() / tracker.dense_macs)
    return float(torch.cat(costs).mean())


def calibrate_threshold(model: nn.Module, tracker: CostTracker, batches: Batches, budget: float) -> float:
    """Smallest threshold in [0, 1] whose mean cost is at most the budget; sets it and returns it.

    A threshold can only close gates: a network below its budget keeps 0. Bisection to 0.004, eight evaluations.
    """
    low, high = 0.0, 1.0
    set_threshold(model, 0.0)
    if mean_cost(model, tracker, batches) <= budget:
        return 0.0
    for _ in range(8):
        middle = (low + high) / 2
        set_threshold(model, middle)
        low, high = (middle, high) if mean_cost(model, tracker, batches) > budget else (low, middle)
    set_threshold(model, high)
    return high


def density_for(tracker: CostTracker, budget: float) -> float:
    """Uniform share of open channels whose expected cost is the budget, if channels open independently."""
    from sanp.cost.tracker import mask_macs

    def cost(density: float) -> float:
        masks = {
            row.name: torch.full((1, row.c_out), density, dtype=torch.float64) for row in tracker.layers if row.gated
        }
        return float(mask_macs(tracker.layers, masks)) / tracker.dense_macs

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) < budget else (low, middle)
    return high


def apply_density(model: nn.Module, tracker: CostTracker, budget: float) -> float:
    """Set every fixed-k and random gate so that the network is expected to cost the budget."""
    density = density_for(tracker, budget)
    set_density(model, density)
    return density
