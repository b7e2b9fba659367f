"""What a checkpoint says about its training."""

from __future__ import annotations

from typing import Any

import torch

from sanp.cost.tracker import CostTracker
from sanp.training.evaluation import Evaluation
from sanp.training.result import PredictedLatency
from sanp.training.source import Facts


def describe(
    facts: Facts,
    dense: dict[str, Any] | None,
    test: Evaluation,
    tracker: CostTracker | None,
    uncalibrated: Evaluation | None,
    latency: PredictedLatency | None = None,
    learned: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Plain JSON: results on the validation data, dense cost, and what an application needs to prepare its images.

    dense: evaluation of the backbone before it was gated. uncalibrated: before the gate threshold was raised. latency:
    what was predicted, if the budget is a time. learned: after a stage with the rounding of bytes, its `ranges` and the
    evaluation of the same network as `float32`; `test` is then that of the network which rounds.
    """
    return {
        "test": test.to_json(),
        "uncalibrated": uncalibrated.to_json() if uncalibrated else None,
        "dense_accuracy": dense["accuracy"] if dense else None,
        "dense_cost": {tracker.counter.unit: tracker.dense} if tracker else None,
        **({"latency": latency.to_json()} if latency is not None else {}),
        **({"int8": learned} if learned is not None else {}),
        **({"mean": list(facts.mean), "std": list(facts.std)} if facts.mean else {}),
        "class_names": list(facts.class_names),
        "torch": torch.__version__,
    }
