"""A run whose budget is a time: the table behind it, what is refused, and what the checkpoint says of it."""

from __future__ import annotations

import warnings
from pathlib import Path

from sanp.cost.latency import LatencyBudget
from sanp.methods.registry import METHODS, find
from sanp.settings.times import milliseconds
from sanp.settings.train import TrainSettings
from sanp.training.evaluation import Evaluation
from sanp.training.result import TOLERANCE, PredictedLatency
from sanp_runtime.latency.table import digest, read_table
from sanp_runtime.measure.verdict import UNPINNED, VALID
from sanp_targets.errors import ConfigError, ValidationError


def latency_budget(settings: TrainSettings) -> LatencyBudget | None:
    """The budget of a run as a time, None if it is one of MACs.

    Raises ConfigError for a method without channel gates and for a time that the dense network has already, InputError
    for a file that is no table.
    """
    if settings.budget_latency is None or settings.table is None:
        return None
    if not find(settings.method).timed:
        able = ", ".join(name for name in METHODS if find(name).timed)
        raise ConfigError(
            f"method {settings.method} has a budget_latency, which is for methods that close channels and leave layers "
            f"their shapes ({able}): the table has no others; use one of them, or a budget of MACs"
        )
    return LatencyBudget(milliseconds(settings.budget_latency), read_table(settings.table)).check()


def warn_of_verdict(settings: TrainSettings, budget: LatencyBudget | None) -> None:
    """UserWarning for a table whose numbers must not be quoted: training for them meets another time than was asked."""
    verdict = None if budget is None else budget.table.validity.get("verdict")
    if budget is not None and verdict not in (VALID, UNPINNED):
        reasons = "; ".join(budget.table.validity.get("reasons", ()))
        warnings.warn(
            f"the verdict on the latency table {settings.table} is {verdict} ({reasons}), expected {VALID}: the budget "
            f"of {budget.ms:g} ms is met by its numbers, which may not be those of the device; measure it again with "
            "`sanp profile --table` on a quiet machine",
            stacklevel=3,
        )


def with_share(settings: TrainSettings, budget: LatencyBudget | None) -> TrainSettings:
    """The settings with the time as a share of that of the dense network, which is what methods work with."""
    return settings if budget is None else settings.model_copy(update={"budget": budget.share})


def refuse_floor(budget: LatencyBudget, floor: float, holds: str) -> None:
    """ConfigError unless the time is above `floor`, a share of the dense time; holds: what the floor consists of."""
    if budget.share <= floor:
        raise ConfigError(
            f"budget_latency is {budget.ms:g} ms, expected more than {floor * budget.table.dense_ms:.4g} ms, which "
            f"{holds} take on {budget.table.device_name}; raise the budget"
        )


def predicted(settings: TrainSettings, budget: LatencyBudget, result: Evaluation) -> PredictedLatency:
    """From an evaluation whose costs are shares of the dense time."""
    assert settings.table is not None
    dense, table = budget.table.dense_ms, budget.table
    low, mean, high = (dense * share for share in (result.cost_p5, result.cost, result.cost_p95))
    return PredictedLatency(
        budget.ms, mean, low, high, dense, table.device_id, table.device_name, digest(settings.table)
    )


def check_latency(path: Path, found: PredictedLatency) -> None:
    """ValidationError if the network at `path` takes longer than its budget and the tolerance, by the prediction."""
    if found.predicted_ms > found.budget_ms + TOLERANCE * found.dense_ms:
        raise ValidationError(
            f"{path} was written and can be used, but it is predicted to take {found.predicted_ms:.4g} ms on "
            f"{found.device_name}, expected at most the budget of {found.budget_ms:g} ms (and "
            f"{TOLERANCE * found.dense_ms:.2g} ms); train longer or raise the budget"
        )
