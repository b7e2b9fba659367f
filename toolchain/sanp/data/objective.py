"""What a network learns from labels, and the numbers that say how well: a loss and metrics, checked where they meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sanp.data.batch import tensors
from sanp_targets.errors import ConfigError, InputError

Loss = Callable[[Any, Any], Tensor]
Metric = Any  # a callable (outputs, labels) -> number, or an object with reset, update(outputs, labels) and compute
ACCURACY = "accuracy"


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss and metrics of outputs and labels; by default those of image classification.

    loss(outputs, labels): scalar tensor, the mean over the samples of a batch. metrics: by name, beside the accuracy.
    classes: labels are classes, int64 [N], and outputs logits [N, classes], so that there is an accuracy.
    """

    loss: Loss = F.cross_entropy
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    classes: bool = True

    @classmethod
    def of(cls, loss: Loss | None = None, metric: Metric | Mapping[str, Metric] | None = None) -> Objective:
        """The objective of what the user gave.

        metric: "accuracy" (the default without a loss), a callable, an object with `update` and `compute`, or several
        of them by name. Raises ConfigError for anything else.
        """
        if loss is not None and not callable(loss):
            raise ConfigError(f"loss is a {type(loss).__name__}, expected a callable of outputs and labels; pass one")
        given = metric if isinstance(metric, Mapping) else {} if metric is None else {_name(metric): metric}
        for name, item in given.items():
            if not (item == ACCURACY or callable(item) or _is_stateful(item)):
                raise ConfigError(
                    f"metric {name} is {item!r:.80}, expected accuracy, a callable of outputs and labels, or an object "
                    "with reset, update and compute; pass one"
                )
        classes = loss is None or any(item == ACCURACY for item in given.values())
        own = {name: item for name, item in given.items() if item != ACCURACY}
        return cls(F.cross_entropy if loss is None else loss, own, classes)

    def __call__(self, outputs: Any, labels: Any) -> Tensor:
        """The loss of a batch, a scalar; ConfigError for what is none. Whether it is finite is not looked at here."""
        found = self.loss(outputs, labels)
        if not isinstance(found, Tensor) or found.dim() != 0:
            shown = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(f"the loss returned {shown}, expected a scalar tensor; return the mean over the samples")
        return found

    def hits(self, outputs: Any, labels: Any) -> Tensor:
        """How many samples of a batch get their class, int64 []; 0 where labels are no classes."""
        if not self.classes:
            return torch.zeros((), dtype=torch.int64, device=next(tensors(outputs)).device)
        return (outputs.argmax(1) == labels).sum()


class Score:
    """One metric over many batches: means weighted by samples, or whatever a stateful one computes."""

    def __init__(self, name: str, metric: Metric) -> None:
        self.name, self.metric, self.stateful = name, metric, _is_stateful(metric)
        self.total, self.samples = 0.0, 0
        if self.stateful:
            metric.reset()

    def add(self, outputs: Any, labels: Any, samples: int) -> None:
        """Take in a batch."""
        self.samples += samples
        if self.stateful:
            self.metric.update(outputs, labels)
        else:
            self.total += samples * self._number(self.metric(outputs, labels))

    def sum(self) -> float:
        """Value times samples, so that sums of several processes can be added."""
        return self.samples * self._number(self.metric.compute()) if self.stateful else self.total

    def _number(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            shown = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(f"metric {self.name} returned {shown}, expected one number; return a float") from error
        if not math.isfinite(number):
            raise InputError(
                f"metric {self.name} is {number}, expected a finite number; check the validation data, or return "
                "another number where it is not defined"
            )
        return number


def _is_stateful(metric: Metric) -> bool:
    return all(callable(getattr(metric, name, None)) for name in ("reset", "update", "compute"))


def _name(metric: Metric) -> str:
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "__name__", type(metric).__name__))
