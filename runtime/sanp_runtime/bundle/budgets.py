"""The budgets that a bundle can run at: thresholds of its gates, and what was measured at each when it was compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from sanp_runtime.bundle.manifest_options import first_wrong
from sanp_targets.errors import InputError

TRAINED = 1.0  # the budget of the network as it was trained

_NUMBER = (int, float)
_MAYBE_NUMBER = (int, float, type(None))
_ROW = {
    "budget": _NUMBER, "thresholds": {"*": (float,)}, "rule": (str,), "macs": _NUMBER, "score": _NUMBER,
    "same": _MAYBE_NUMBER, "typical_ms": _MAYBE_NUMBER,
}  # fmt: skip
_RECORD = {
    "calibration_samples": (int,), "samples": (int,), "held_back": (bool,), "measure": (str,),
    "timing": {"?": {"machine": {}, "threads": (int,), "batch": (int,)}},
    "settings": (list,),
}  # fmt: skip


@dataclass(frozen=True)
class BudgetSetting:
    """One budget, the mean cost of a sample as a share of that of the network as trained, 1.0 first.

    thresholds: layer with a learned gate -> what its saliencies must exceed; rule: how they were found. Measured on
    samples that were held back: macs, the mean of a sample; score, by the `measure` of the record: accuracy, a metric,
    or the relative change of the outputs, where 0 is best; same, the share of predictions that are PyTorch's, None
    without classes. typical_ms: latency of an average sample, one thread, on the machine that compiled the bundle, None
    where it was not measured.
    """

    budget: float
    thresholds: Mapping[str, float]
    rule: str
    macs: float
    score: float
    same: Optional[float]
    typical_ms: Optional[float]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return {**self.__dict__, "thresholds": dict(self.thresholds)}


def settings_of(record: Mapping[str, Any]) -> Tuple[BudgetSetting, ...]:
    """The settings of a record (`Manifest.build["budgets"]`) that passed `problem`; none of an empty one."""
    return tuple(BudgetSetting(**row) for row in record.get("settings", ()))


def problem(build: Mapping[str, Any], gated: Sequence[str]) -> Optional[str]:
    """What is wrong with the budgets of a manifest, in words, or None. gated: names of the gated layers."""
    if "budgets" not in build:
        return None
    wrong = first_wrong(build["budgets"], _RECORD, "build.budgets")
    rows = build["budgets"]["settings"] if wrong is None else []
    for index, row in enumerate(rows):
        wrong = wrong or first_wrong(row, _ROW, f"settings[{index}]")
        wrong = wrong or (f"settings[{index}] has the keys {sorted(row)}" if set(row) != set(_ROW) else None)
    if wrong is not None:
        return wrong
    budgets = [row["budget"] for row in rows]
    layers = [sorted(row["thresholds"]) for row in rows]
    if budgets[:1] != [TRAINED] or budgets != sorted(set(budgets), reverse=True) or budgets[-1] <= 0:
        return f"budgets are {budgets}, expected falling ones from 1.0 on"
    if not layers[0] or any(names != layers[0] for names in layers) or not set(layers[0]) <= set(gated):
        return f"thresholds are for {layers}, expected the same gated layers for every budget"
    return None


def find(settings: Sequence[BudgetSetting], budget: Any, name: str) -> BudgetSetting:
    """The setting of a budget; InputError for one that was not compiled. name: of the bundle, for the message."""
    known = [row.budget for row in settings]
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise InputError(f"the budget is {budget!r:.100}, expected a number such as {TRAINED:g}; pass one of {known}")
    for row in settings:
        if abs(row.budget - budget) < 1e-9:
            return row
    cure = f"expected one of {', '.join(f'{value:g}' for value in known)}; others need `sanp compile --budgets`"
    if not known:
        cure = 'which was compiled without budgets; compile it for ONNX Runtime with --budgets "[0.85, 0.7]"'
        raise InputError(f"the budget {budget:g} was asked of {name}, {cure}")
    raise InputError(f"the budget {budget:g} is not in {name}, {cure}")


def lines(record: Mapping[str, Any], dense_macs: int) -> List[str]:
    """A line for each budget of a record, for a person."""
    found = []
    for row in settings_of(record):
        same = "" if row.same is None else f", {row.same:.1%} of the predictions as in PyTorch"
        time = "" if row.typical_ms is None else f", {row.typical_ms:.3f} ms"
        share = f"{row.macs / dense_macs:.1%} of the dense MACs"
        found.append(f"budget {row.budget:<5g} {share}, {record['measure']} {row.score:.4f}{same}{time}")
    return found
