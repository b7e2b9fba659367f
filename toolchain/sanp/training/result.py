"""What a run produced, and whether it kept its budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sanp.training.evaluation import Evaluation
from sanp_targets.errors import ValidationError

_TOLERANCE = 0.03  # of the dense cost: how far above its budget a network may end


@dataclass(frozen=True)
class TrainResult:
    """What a run produced. Accuracies and costs are shares (0 to 1) on the test split; cost includes the gates.

    dense_accuracy: of the backbone at the end of its own stage, None for a method that trains none.
    """

    checkpoint: Path
    dense_accuracy: float | None
    accuracy: float
    cost: float
    evaluation: Evaluation
    uncalibrated: Evaluation  # before the method met the budget exactly
    history: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def check_budget(path: Path, cost: float, budget: float) -> None:
    """ValidationError if the network at `path` costs more than its budget and the tolerance; below is no fault."""
    if cost > budget + _TOLERANCE:
        raise ValidationError(
            f"{path} was written and can be used, but it costs {cost:.1%} of the dense network on the test split, "
            f"expected at most the budget of {budget:.1%} (and {100 * _TOLERANCE:.0f} points); "
            "train longer or raise the budget"
        )
