"""Every budget of a bundle: our kernels decide as standard operators do, and what a sample costs and answers then.

PyTorch knows no budgets, so the oracle is the same graph without our library: the bodies of the operators, at the same
thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Set

import numpy as np

from sanp_runtime.bundle.budgets import BudgetSetting
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.engines.base import Result
from sanp_runtime.network.layers import Layer
from sanp_runtime.validate.tolerance import gate_tolerance


@dataclass(frozen=True)
class BudgetReport:
    """One budget on the samples. macs: mean of a sample, of_trained: as a share of that at budget 1.

    accuracy: None where samples have no class. decisions: compared with standard operators; rounding: those that differ
    by no more than rounding explains, consequence: in their wake, mismatch: by more.
    """

    budget: float
    macs: float
    of_trained: float
    accuracy: Optional[float]
    decisions: int
    rounding: int
    consequence: int
    mismatch: int

    @property
    def passed(self) -> bool:
        """True if no decision differs by more than rounding explains."""
        return self.mismatch == 0

    def summary(self) -> str:
        """One line for a person."""
        changed = self.rounding + self.consequence + self.mismatch
        line = f"{self.of_trained:.1%} of the cost as trained"
        line += "" if self.accuracy is None else f", accuracy {self.accuracy:.2%}"
        line += f", {self.decisions - changed} of {self.decisions} gate decisions as by standard operators"
        return line + (f"; {self.mismatch} not explained by rounding" if self.mismatch else "")

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return {**self.__dict__, "passed": self.passed, "summary": self.summary()}


def budget_check(
    layers: Sequence[Layer],
    setting: BudgetSetting,
    reference: Reference,
    found: Result,
    standard: Result,
    trained_macs: float,
    rounded: Optional[Mapping[str, float]] = None,
) -> BudgetReport:
    """Compare one budget. found, standard: of our kernels and of standard operators, on the samples of the reference.

    rounded: as in `gate_check`. A decision that differs is open on one side, which shows its saliency: it is rounding
    if that lies within the tolerance of the threshold, or, where a rank decides, of the least that is open on the other
    side.
    """
    counts = {"rounding": 0, "consequence": 0, "mismatch": 0}
    tainted: Set[int] = set()
    decisions = 0
    for index, layer in enumerate(layers):
        if not layer.gated:
            continue
        ours, theirs = (np.asarray(result.gates[layer.name], np.float64) for result in (found, standard))
        decisions += ours.size
        relative = gate_tolerance(layers, index, "fp32", rounded)
        level = setting.thresholds.get(layer.name)
        fresh = set()
        for sample, channel in np.argwhere(((ours != 0) != (theirs != 0)) | ~np.isfinite(ours)).tolist():
            kind = "consequence"
            if sample not in tainted:
                fresh.add(sample)
                kind = "rounding" if _is_near(ours[sample], theirs[sample], channel, level, relative) else "mismatch"
            counts[kind] += 1
        tainted |= fresh
    correct = None
    if reference.has_classes:
        correct = float((found.logits.argmax(1) == reference.labels).mean())
    macs = float(found.macs.mean())
    return BudgetReport(setting.budget, macs, macs / trained_macs, correct, decisions, **counts)


def _is_near(ours: np.ndarray, theirs: np.ndarray, channel: int, level: Optional[float], relative: float) -> bool:
    """Whether rounding may decide this channel; ours, theirs: scales [Co] of its sample."""
    if level is None or not np.isfinite(ours).all():  # a static gate, or a kernel that is broken
        return False
    here, other = (ours, theirs) if ours[channel] != 0 else (theirs, ours)
    bounds = [level, *([other[other != 0].min()] if other.any() else [])]
    distance = min(abs(here[channel] - bound) for bound in bounds)
    return bool(distance <= relative * max(here.max(), level))
