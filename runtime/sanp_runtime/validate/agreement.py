"""Level 2 without a class and a metric: the outputs that an engine decides for itself agree with PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

from sanp_runtime.bundle.reference import Reference
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import rows_of
from sanp_runtime.validate.replay import ReplayReport, check_same_outputs, replay_check
from sanp_runtime.validate.task import check_limits


@dataclass(frozen=True)
class AgreementReport:
    """Samples with the same decisions as in PyTorch, whose outputs must agree, and those with others.

    same: the comparison of the former, None if there are none. change: of the latter, the largest error of an output in
    relation to its largest value in the sample; their decisions are judged at level 1. relative: the limit.
    """

    samples: int
    same: Optional[ReplayReport]
    change: float
    relative: float

    @property
    def passed(self) -> bool:
        """True if the outputs of enough samples agree, and all are finite."""
        if not np.isfinite(self.change):
            return False
        same = self.same
        if same is None or same.passed:
            return True
        return bool(np.isfinite(same.max_error)) and same.failing <= (1 - self.relative) * same.samples + 1e-9

    def summary(self) -> str:
        """One line for a person."""
        count = 0 if self.same is None else self.same.samples
        parts = [] if self.same is None else [self.same.summary()]
        if count < self.samples:
            parts.append(
                f"{self.samples - count} of {self.samples} samples take another decision and differ by up to "
                f"{self.change:.2g} of an output"
            )
        return "; ".join(
            [*parts, f"limit {'kept' if self.passed else 'missed'}: {self.relative:.1%} of the former agree"]
        )

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return {
            "kind": "agreement",
            "passed": self.passed,
            "summary": self.summary(),
            "samples": self.samples,
            "same": None if self.same is None else self.same.to_json(),
            "change": self.change if np.isfinite(self.change) else None,
            "relative": self.relative,
        }


def agreement_check(
    layers: Sequence[Layer],
    reference: Reference,
    outputs: Mapping[str, np.ndarray],
    gates: Mapping[str, np.ndarray],
    precision: str = "fp32",
    rounded: Optional[Mapping[str, float]] = None,
    *,
    relative: float = 0.99,
    moved: Optional[Mapping[str, np.ndarray]] = None,
) -> AgreementReport:
    """Compare outputs, name -> [N, ...], that were computed with these gates, gated layer -> scale [N, Co].

    precision, rounded, moved: as in `replay_check`. relative: least share of samples that agree. Raises ConfigError for
    a share outside 0 to 1, InputError if names or shapes differ.
    """
    check_limits(relative, None)
    check_same_outputs(reference.outputs, outputs)
    other = np.zeros(len(reference), bool)
    for name, scale in gates.items():
        other |= ((scale != 0) != (reference.scales[name] != 0)).any(axis=1)
    kept = np.flatnonzero(~other)
    same = None
    if kept.size:
        part = reference.take(kept)  # type: ignore[arg-type]
        mine = {name: value[kept] for name, value in outputs.items()}
        changed = None if moved is None else {name: value[kept] for name, value in moved.items()}
        same = replay_check(
            layers, part.outputs, mine, precision, rounded, exact=part.exact, moved=changed, own_error=part.own_error
        )
    changes = [0.0]
    for name, value in outputs.items():
        expected, found = rows_of(reference.outputs[name][other]), rows_of(value[other])
        if expected.size:
            largest = np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
            changes.append(float((np.abs(found.astype(np.float64) - expected).max(axis=1) / largest).max()))
    return AgreementReport(len(reference), same, float(np.max(changes)), relative)
