"""Latency of every budget of a bundle, side by side on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.engines.base import Engine
from sanp_runtime.measure.stats import stats
from sanp_runtime.measure.timing import Measurement, measure
from sanp_targets.errors import ConfigError


@dataclass(frozen=True)
class BudgetRow:
    """One budget. macs: mean of a call's samples; latency, typical_ms, spread_ms: as of a variant.

    score: what `compile` measured on samples that were held back, in the manifest's `measure`.
    """

    budget: float
    macs: float
    score: float
    latency: Mapping[str, Any]
    typical_ms: float
    spread_ms: Mapping[str, float]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return dict(self.__dict__, latency=dict(self.latency), spread_ms=dict(self.spread_ms))


def require_budgets(manifest: Manifest) -> None:
    """Raise ConfigError for a bundle without budgets."""
    if not manifest.budgets:
        raise ConfigError(
            f"{manifest.name} has no budgets to measure, expected some; compile it with "
            'sanp compile --budgets "[0.85, 0.7]"'
        )


def budget_rows(
    engine: Engine, batches: Sequence[np.ndarray], duration_s: float
) -> Tuple[Tuple[BudgetRow, ...], Measurement]:
    """Measure the budgets of an engine by bound calls that take turns; duration_s over all of them.

    The measurement is for its verdict; its engines are called by their budget, such as "0.7".
    """
    settings = engine.manifest.budgets
    calls = {f"{row.budget:g}": [engine.bind(part, budget=row.budget) for part in batches] for row in settings}
    macs = {row.budget: [engine(part, budget=row.budget).macs.mean() for part in batches] for row in settings}
    found = measure(calls, duration_s, sensors=type(engine).read_sensors)
    rows = tuple(
        BudgetRow(
            budget=row.budget,
            macs=float(np.mean(macs[row.budget])),
            score=row.score,
            latency=stats(found.latency_ms[f"{row.budget:g}"]),
            typical_ms=found.typical_ms(f"{row.budget:g}"),
            spread_ms=found.spread_ms(f"{row.budget:g}"),
        )
        for row in settings
    )
    return rows, found


def budget_lines(rows: Sequence[Mapping[str, Any]], dense_macs: int) -> List[str]:
    """A line for each budget, for a person. rows: `BudgetRow.to_json()`."""
    return [
        f"budget {row['budget']:<5g}{row['typical_ms']:9.3f} ms typical, p90 {row['latency']['p90']:.3f} ms, "
        f"{row['macs'] / dense_macs:6.1%} of the dense MACs, score {row['score']:.4f}"
        for row in rows
    ]
