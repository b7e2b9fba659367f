"""Level 0: with PyTorch's own decisions fed in, the engine must compute the same logits. Tests the kernels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Sequence

import numpy as np

from sanp_runtime.cost import Layer
from sanp_runtime.validate.tolerance import relative_tolerance
from sanp_targets.errors import InputError


@dataclass(frozen=True)
class ReplayReport:
    """Errors of the logits per sample, absolute and as a share of the tolerance (above 1 fails)."""

    samples: int
    max_error: float
    tolerance: float
    worst_sample: int
    worst_share: float
    failing: int

    @property
    def passed(self) -> bool:
        """True if every sample is within its tolerance."""
        return self.failing == 0

    def summary(self) -> str:
        """One line for a person."""
        if self.passed:
            return (
                f"logits of {self.samples} samples agree within rounding: largest error {self.max_error:.2g}, at most "
                f"{self.worst_share:.1%} of the tolerance"
            )
        return (
            f"{self.failing} of {self.samples} samples differ by more than rounding with the same gates, worst is "
            f"sample {self.worst_sample} with {self.worst_share:.3g} times its tolerance: a kernel is wrong"
        )

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON; a value that is not finite becomes null."""
        row: Dict[str, Any] = dict(self.__dict__, passed=self.passed, summary=self.summary())
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()
        }


def replay_check(
    layers: Sequence[Layer], reference: np.ndarray, logits: np.ndarray, precision: str = "fp32"
) -> ReplayReport:
    """Compare logits [N, classes] that were computed with the reference's own scales as masks.

    precision: what the engine stores feature maps and weights in. Raises InputError if the shapes differ or are empty;
    NaN in either array fails.
    """
    reference, logits = np.asarray(reference), np.asarray(logits)
    if reference.ndim != 2 or reference.shape != logits.shape or not reference.size:
        raise InputError(
            f"logits {list(logits.shape)} do not match the reference {list(reference.shape)}; compare equals"
        )
    error = np.abs(logits.astype(np.float64) - reference).max(axis=1)
    magnitude = np.abs(reference.astype(np.float64)).max(axis=1)
    # The smallest normal number keeps the division defined for a sample whose logits are all zero.
    tolerance = np.maximum(relative_tolerance(layers, precision) * magnitude, np.finfo(np.float32).tiny)
    share = np.where(np.isfinite(error), error, np.inf) / tolerance
    worst = int(share.argmax())
    return ReplayReport(
        samples=len(share),
        max_error=float(error.max()),
        tolerance=float(tolerance[worst]),
        worst_sample=worst,
        worst_share=float(share[worst]),
        failing=int((~(share <= 1)).sum()),
    )
