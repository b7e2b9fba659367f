"""The thresholds of a budget: every rule is followed until the cost fits, and the one that answers best is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanp.pipeline.compile.budgets.rules import Rule, at_share, rules_of
from sanp.pipeline.compile.budgets.turned import Answer, Thresholds, TurnedNetwork
from sanp.pipeline.compile.fold_score import CHANGE, changes, compare
from sanp_runtime.bundle.reference import Reference
from sanp_targets.errors import ConfigError

# Searches run on so many samples at most, and what a layer alone does is measured on these.
_MOST, _FEW = 256, 128
_HALVINGS = 18
# A cost that is nearer below the budget than this share of the trained cost ends a search.
_NEAR = 0.002
# Share of its open channels that a layer loses while it is measured alone.
_PROBE = 0.2


@dataclass(frozen=True)
class Found:
    """thresholds: layer -> number; rule: by which they were found."""

    thresholds: dict[str, float]
    rule: str


class Search:
    """Finds thresholds on calibration samples: costs on the first 256 of them, answers on all."""

    def __init__(
        self, network: TurnedNetwork, samples: Reference, trained: Mapping[str, float], metric: str | None
    ) -> None:
        """trained: layer with a learned gate -> its threshold; metric: as in `fold_score.compare`."""
        self._network, self._samples, self._metric = network, samples, metric
        self._few = samples.x[:_FEW]
        self._x = samples.x[:_MOST]
        self._base = network.run(self._x, trained)
        opened = {name: self._base.scales[name] for name in trained}
        self._rules = rules_of(trained, opened, self._gains(trained))

    def find(self, budget: float, name: str) -> Found:
        """The thresholds of a budget, a share of the trained cost.

        Raises ConfigError, naming the network, if closing channels cannot make it that cheap.
        """
        limit = budget * self._base.cost
        found = {rule: self._least(follow, limit) for rule, follow in self._rules.items()}
        fitting = {rule: thresholds for rule, thresholds in found.items() if thresholds is not None}
        if not fitting:
            floor = min(self._cost(rule(1.0)) for rule in self._rules.values()) / self._base.cost
            raise ConfigError(
                f"{name} cannot run at the budget {budget:g}: with every gate closed a sample still costs {floor:.2%} "
                "of what it costs as trained; ask for a larger one"
            )
        best = max(fitting, key=lambda rule: self._quality(fitting[rule]))
        return Found(fitting[best], best)

    def _least(self, rule: Rule, limit: float) -> dict[str, float] | None:
        """The thresholds of a rule at which a sample costs at most `limit`, as near as possible."""
        if self._cost(rule(1.0)) > limit:
            return None
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            cost = self._cost(rule(middle))
            low, high = (middle, high) if cost > limit else (low, middle)
            if limit - _NEAR * self._base.cost < cost <= limit:
                break
        return rule(high)

    def _cost(self, thresholds: Thresholds) -> float:
        return self._network.run(self._x, thresholds).cost

    def _quality(self, thresholds: Thresholds) -> tuple[float, float]:
        """What decides between rules: the score, and if that is equal, how little the outputs change."""
        answer = self._network.run(self._samples.x, thresholds)
        check = compare(self._samples, answer.outputs, self._metric)
        changed = float(changes(self._samples.outputs, answer.outputs).mean())
        return (0.0 if check["measure"] == CHANGE else check["after"], -changed)

    def _gains(self, trained: Mapping[str, float]) -> dict[str, float]:
        """Layer -> root of the MACs that it alone saves, over what that changes in the outputs.

        If the changes of layers are independent and grow with the share that is closed, their squares add, and shares
        in proportion to MACs over squared changes are best. Changes are known from few samples and do not stay
        proportional, so the root of that is taken, which moves less from one layer to another.
        """
        base = self._network.run(self._few, trained)
        gains = {}
        for name, level in trained.items():
            scales = base.scales[name]
            probe = at_share(np.sort(scales[scales > 0]), _PROBE, level)
            found = self._network.run(self._few, {**trained, name: probe})
            change = float(np.sqrt((changes(base.outputs, found.outputs) ** 2).mean()))
            gains[name] = float(np.sqrt(max(base.cost - found.cost, 1.0))) / max(change, 1e-4)
        return gains


def measured(judged: Reference, answer: Answer, metric: str | None) -> dict[str, Any]:
    """What a setting costs and answers on samples that were held back: `macs`, `score` and `same`."""
    check = compare(judged, answer.outputs, metric)
    return {"macs": answer.cost, "score": check["after"], "same": check["same"]}
