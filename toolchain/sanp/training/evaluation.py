"""Accuracy, metrics and cost of a network on one split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.data.objective import ACCURACY, Objective, Score
from sanp.gating.forward import forward
from sanp.tracing.trace import evaluation
from sanp_targets.errors import InputError


@dataclass(frozen=True)
class Evaluation:
    """accuracy and costs are shares (0 to 1); cost is relative to the dense network, gates included.

    accuracy: None where labels are no classes. open: mean share of open channels. dynamic: share of channels that are
    open for some samples and closed for others. loss: mean over the samples. metrics: by name, the accuracy among them.
    """

    accuracy: float | None
    cost: float = 1.0
    cost_p5: float = 1.0
    cost_p95: float = 1.0
    open: float = 1.0
    dynamic: float = 0.0
    loss: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass
class _Sums:
    """What a process has seen: sums over samples, costs [N], and how often each channel was open, by layer."""

    samples: int = 0
    hits: int = 0
    loss: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    costs: list[np.ndarray] = field(default_factory=list)
    opened: dict[str, np.ndarray] = field(default_factory=dict)


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    tracker: CostTracker | None = None,
    objective: Objective | None = None,
    gathered: Callable[[Any], list[Any]] = lambda sums: [sums],
) -> Evaluation:
    """Evaluate in evaluation mode on all batches. gathered: a value of every process, whose samples count together.

    Raises InputError for no batches and for a loss or metric that is not finite.
    """
    found = _sums(model, batches, tracker, objective or Objective())
    parts: list[_Sums] = gathered(found)
    samples = sum(part.samples for part in parts)
    if not samples:
        raise InputError("there is no sample to evaluate, expected at least one; check the validation data")
    classes = objective is None or objective.classes
    metrics = {name: sum(part.scores[name] for part in parts) / samples for name in found.scores}
    accuracy = sum(part.hits for part in parts) / samples if classes else None
    if accuracy is not None:
        metrics[ACCURACY] = accuracy
    loss = sum(part.loss for part in parts) / samples
    if not np.isfinite(loss):
        raise InputError(
            f"the loss on the validation data is {loss}, expected a finite number; lower the learning rate"
        )
    cost = np.concatenate([row for part in parts for row in part.costs]) if found.costs else np.ones(1)
    low, high = np.percentile(cost, [5, 95])
    opened, dynamic = 1.0, 0.0
    if found.opened:
        share = np.concatenate([sum(part.opened[name] for part in parts) for name in found.opened]) / samples
        opened, dynamic = float(share.mean()), float(np.mean((share > 0) & (share < 1)))
    return Evaluation(accuracy, float(cost.mean()), float(low), float(high), opened, dynamic, loss, metrics)


def _sums(model: nn.Module, batches: Iterable[Batch], tracker: CostTracker | None, objective: Objective) -> _Sums:
    sums, hits, loss = _Sums(), [], []
    scores = {name: Score(name, metric) for name, metric in objective.metrics.items()}
    costs: list[torch.Tensor] = []
    counts: dict[str, torch.Tensor] = {}
    with evaluation(model):
        for batch in batches:
            outputs = forward(model, batch)
            sums.samples += len(batch)
            hits.append(objective.hits(outputs, batch.labels))
            loss.append(objective(outputs, batch.labels).double() * len(batch))
            for score in scores.values():
                score.add(outputs, batch.labels, len(batch))
            if tracker is not None:
                costs.append(tracker.shares().expand(len(batch)))
                for name, mask in tracker.masks().items():
                    counts[name] = counts.get(name, torch.zeros_like(mask[0])) + mask.sum(0)
    if sums.samples:
        sums.hits, sums.loss = int(torch.stack(hits).sum()), float(torch.stack(loss).sum())
    sums.scores = {name: score.sum() for name, score in scores.items()}
    sums.costs = [torch.cat(costs).cpu().numpy()] if costs else []
    sums.opened = {name: count.cpu().numpy() for name, count in counts.items()}
    return sums
