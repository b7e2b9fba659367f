"""What a run produced, and whether it kept its budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sanp.training.evaluation import Evaluation
from sanp_targets.errors import ConfigError, ValidationError

TOLERANCE = 0.03  # of the dense cost: how far above its budget a network may end


@dataclass(frozen=True)
class PredictedLatency:
    """What a table predicts for the validation samples on its device: mean, and the percentiles 5 and 95, in ms."""

    budget_ms: float
    predicted_ms: float
    p5_ms: float
    p95_ms: float
    dense_ms: float
    device_id: str
    device_name: str
    table_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a run produced: the trained network in evaluation mode and on the device of the run, and its measurements.

    evaluation: on the validation data (the test split of a named data set), costs are shares (0 to 1) and include the
    gates. dense: the same of the backbone at the end of its own stage, None for a method that trains none.
    uncalibrated: before the method met the budget exactly. history: a row per epoch, as in metrics.jsonl. latency: what
    a run against a time is predicted to take, None for one against MACs.
    """

    checkpoint: Path
    network: nn.Module = field(repr=False)
    dense: Evaluation | None
    evaluation: Evaluation
    uncalibrated: Evaluation
    history: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    latency: PredictedLatency | None = None

    @property
    def cost(self) -> float:
        """Mean cost of a sample, as a share of the dense network."""
        return self.evaluation.cost

    @property
    def metrics(self) -> dict[str, float]:
        """The user's metrics by name, and "accuracy" where labels are classes."""
        return self.evaluation.metrics

    @property
    def accuracy(self) -> float:
        """Share of samples that get their class; ConfigError where labels are no classes."""
        if self.evaluation.accuracy is None:
            raise ConfigError(
                "the run has no accuracy, because its labels are no classes; read result.metrics, or pass "
                'metric="accuracy" with your loss if they are'
            )
        return self.evaluation.accuracy

    @property
    def dense_accuracy(self) -> float | None:
        """The accuracy of the backbone, None for a method that trains none; ConfigError as for `accuracy`."""
        return None if self.accuracy is None or self.dense is None else self.dense.accuracy


def check_budget(path: Path, cost: float, budget: float) -> None:
    """ValidationError if the network at `path` costs more than its budget and the tolerance; below is no fault."""
    if cost > budget + TOLERANCE:
        raise ValidationError(
            f"{path} was written and can be used, but it costs {cost:.1%} of the dense network on the validation data, "
            f"expected at most the budget of {budget:.1%} (and {100 * TOLERANCE:.0f} points); "
            "train longer or raise the budget"
        )
