"""Accuracy and cost of a network on one split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.gating.forward import forward
from sanp.tracing.trace import evaluation
from sanp.training.batches import Batches


@dataclass(frozen=True)
class Evaluation:
    """accuracy and costs are shares (0 to 1); cost is relative to the dense network, gates included.

    open: mean share of open channels. dynamic: share of channels that are open for some samples and closed for others.
    """

    accuracy: float
    cost: float = 1.0
    cost_p5: float = 1.0
    cost_p95: float = 1.0
    open: float = 1.0
    dynamic: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def evaluate(
    model: nn.Module, batches: Batches, tracker: CostTracker | None = None, batch_size: int = 256
) -> Evaluation:
    """Evaluate in evaluation mode on every image of `batches`, in file order."""
    hits = 0
    costs: list[torch.Tensor] = []
    counts: dict[str, torch.Tensor] = {}
    with evaluation(model):
        for batch in batches.sequential(batch_size):
            hits += int((forward(model, batch).argmax(1) == batch.labels).sum())
            if tracker is not None:
                costs.append(tracker.shares().expand(len(batch)))
                for name, mask in tracker.masks().items():
                    counts[name] = counts.get(name, torch.zeros_like(mask[0])) + mask.sum(0)
    accuracy = hits / len(batches)
    if not costs:
        return Evaluation(accuracy)
    cost = torch.cat(costs).cpu().numpy()
    low, high = np.percentile(cost, [5, 95])
    if not counts:
        return Evaluation(accuracy, float(cost.mean()), float(low), float(high))
    share = torch.cat(list(counts.values())).cpu().numpy() / len(batches)
    dynamic = float(np.mean((share > 0) & (share < 1)))
    return Evaluation(accuracy, float(cost.mean()), float(low), float(high), float(share.mean()), dynamic)
