"""Level 2: the accuracy of an engine beside PyTorch's on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np

from sanp_runtime.bundle.reference import Reference
from sanp_targets.errors import ConfigError, InputError


@dataclass(frozen=True)
class TaskReport:
    """Counts of correct answers; `relative` and `max_drop` are the gates that were applied (None = not applied)."""

    samples: int
    reference_correct: int
    engine_correct: int
    equal_predictions: int
    relative: float
    max_drop: Optional[float]

    @property
    def reference_accuracy(self) -> float:
        """Accuracy of PyTorch, 0 to 1."""
        return self.reference_correct / self.samples

    @property
    def accuracy(self) -> float:
        """Accuracy of the engine, 0 to 1."""
        return self.engine_correct / self.samples

    @property
    def passed(self) -> bool:
        """True if the engine keeps the relative and the absolute gate."""
        # In units of samples, where the products are exact enough for a boundary such as 99 of 100.
        keeps_share = self.engine_correct >= self.relative * self.reference_correct - 1e-9
        lost = self.reference_correct - self.engine_correct
        return keeps_share and (self.max_drop is None or lost <= self.max_drop * self.samples + 1e-9)

    def summary(self) -> str:
        """One line for a person."""
        share = [f"at least {self.relative:.1%} of PyTorch's"] if self.relative or self.max_drop is None else []
        drop = [f"a drop of at most {self.max_drop:.2%}"] if self.max_drop is not None else []
        limits = " and ".join([*share, *drop])
        verdict = "kept" if self.passed else "missed"
        return (
            f"accuracy {self.accuracy:.2%} against {self.reference_accuracy:.2%} in PyTorch on {self.samples} samples, "
            f"{self.equal_predictions} equal predictions; limit {verdict}: {limits}"
        )

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return dict(
            self.__dict__,
            kind="accuracy",
            passed=self.passed,
            accuracy=self.accuracy,
            reference_accuracy=self.reference_accuracy,
            summary=self.summary(),
        )


def check_limits(relative: float, max_drop: Optional[float]) -> None:
    """Raise ConfigError for a limit outside 0 to 1."""
    for name, value in (("relative", relative), ("max_drop", max_drop)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} is {value!r}, expected a share from 0 to 1; 0.01 is one point")


def task_check(
    reference: Reference, logits: np.ndarray, *, relative: float = 0.99, max_drop: Optional[float] = None
) -> TaskReport:
    """Compare predictions. logits [N, classes] of the engine; a row with NaN or infinity is a wrong answer.

    relative: least accuracy as a share of PyTorch's. max_drop: largest absolute loss, 0.01 = one point. Raises
    ConfigError for gates outside 0 to 1 and InputError if the shapes differ.
    """
    check_limits(relative, max_drop)
    logits = np.asarray(logits)
    if not reference.has_classes:
        raise InputError(
            "the reference has no class for each sample, expected labels int64 [N]; compare outputs instead"
        )
    if logits.shape != reference.logits.shape or not len(logits):
        raise InputError(
            f"logits {list(logits.shape)} do not match the reference {list(reference.logits.shape)}; compare equals"
        )
    predicted = np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)
    expected = reference.logits.argmax(axis=1)
    return TaskReport(
        samples=len(logits),
        reference_correct=int((expected == reference.labels).sum()),
        engine_correct=int((predicted == reference.labels).sum()),
        equal_predictions=int((predicted == expected).sum()),
        relative=relative,
        max_drop=max_drop,
    )
