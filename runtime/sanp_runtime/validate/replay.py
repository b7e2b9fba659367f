"""Level 0: with PyTorch's own decisions fed in, the engine must compute the same outputs. Tests the kernels alone.

Every output of the network is compared by itself, sample by sample, in relation to its largest value in the sample.

Where weights were rounded when the bundle was made, PyTorch has others: the tolerance grows by that, and the kernels
are also held, within the rounding of sums, to standard operators that run the bundle's own weights.

A network that decides for every pixel makes a hundred thousand decisions per sample, which nobody records. One that
lies within rounding falls on either side, and moves the outputs by more than rounding. So such a network passes if at
least half of the samples agree within rounding (small networks, where few samples have such a pixel), or if no output
differs by more than four times what double precision changes in PyTorch's own (large ones, where nearly all have). A
kernel that is wrong changes every sample. What is wrong by less than that does not show here.

A network may amplify rounding itself (`amplification`); then a sample may differ by what that costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.contract import LOGITS
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import rows_of
from sanp_runtime.validate.amplification import ALLOWED
from sanp_runtime.validate.tolerance import relative_tolerance
from sanp_targets.errors import InputError

# An int8 bundle clips what exceeds the ranges that its samples gave; one sample in so many may do that.
_BEYOND_RANGES = 10

Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ReplayReport:
    """Errors of the outputs per sample, absolute and as a share of the tolerance (above 1 fails).

    max_error, tolerance, worst_sample, worst_share: of `output`, the one that comes nearest to its tolerance or exceeds
    it most; failing: samples in which any output exceeds its own. standard: the same against standard operators with
    the weights of the bundle; None unless those were rounded. steps: int8 layer -> the largest distance of one of its
    bytes from standard operators on the same bytes; above 1 is an error, since both round the same sum; None for a
    network without such layers. decisions: largest error as a share of what decisions for pixels explain; None for a
    network without them. amplified: samples within their tolerance only because the network amplifies rounding.
    """

    outputs: Tuple[str, ...]
    output: str
    samples: int
    max_error: float
    tolerance: float
    worst_sample: int
    worst_share: float
    failing: int
    standard: Optional["ReplayReport"] = None
    decisions: Optional[float] = None
    steps: Optional[Mapping[str, int]] = None
    amplified: int = 0

    @property
    def passed(self) -> bool:
        """True if every sample is within its tolerance, or decisions for pixels explain those that are not."""
        own = self.failing == 0 or self._is_explained
        return own and not self.wrong_bytes and (self.standard is None or self.standard.passed)

    @property
    def wrong_bytes(self) -> Dict[str, int]:
        """Int8 layers that differ by more than a step, and by how many."""
        return {name: apart for name, apart in (self.steps or {}).items() if apart > 1}

    @property
    def _is_explained(self) -> bool:
        if not np.isfinite(self.max_error):
            return False
        if self.steps is not None:
            return _BEYOND_RANGES * self.failing <= self.samples
        if self.decisions is None:
            return False
        return 2 * self.failing <= self.samples or self.decisions <= 1

    def summary(self) -> str:
        """One line for a person."""
        if self.steps is not None:
            line = f"{self._bytes_line()}; " if self.steps else ""
            return f"{line}{self._line('the rounding to bytes', 'rounding costs more than expected')}"
        if self.standard is None:
            return self._line("rounding", "a kernel is wrong")
        cause = "a kernel is wrong"
        if self.standard.passed:
            cause = "rounding costs this network more than expected, or the reference is of another model: compile "
            cause += "without --bf16-weights"
        return (
            f"{self._line('the rounding of the weights', cause)}; against standard operators on the rounded weights: "
            f"{self.standard.summary()}"
        )

    def _bytes_line(self) -> str:
        if self.wrong_bytes:
            worst = ", ".join(f"{name} by {apart}" for name, apart in self.wrong_bytes.items())
            return f"bytes differ by more than a step from standard operators ({worst:.200}): a kernel is wrong"
        apart = max((self.steps or {}).values(), default=0)
        distance = "equal to" if apart == 0 else "equal to or one step from"
        return (
            f"all bytes of {len(self.steps or {})} layers are {distance} those of standard operators on the same inputs"
        )

    def _line(self, budget: str, cause: str) -> str:
        where = f" in {self.output}" if len(self.outputs) > 1 else ""
        if self.failing and self._is_explained and self.steps is not None:
            return (
                f"{self._noun} of {self.samples - self.failing} of {self.samples} samples agree within {budget}; the "
                f"others differ by up to {self.max_error:.2g}{where}, as samples do that exceed the ranges of the "
                "calibration"
            )
        if self.failing and self._is_explained:
            return (
                f"{self._noun} of {self.samples - self.failing} of {self.samples} samples agree within {budget}; the "
                f"others differ by up to {self.max_error:.2g}{where}, as pixels do whose decision lies within rounding"
            )
        if not self.failing:
            return (
                f"{self._noun} of {self.samples} samples agree within {budget}: largest error {self.max_error:.2g}"
                f"{where}, at most {self.worst_share:.1%} of the tolerance{self._amplification()}"
            )
        return (
            f"{self.failing} of {self.samples} samples differ by more than {budget} with the same gates, worst is "
            f"sample {self.worst_sample}{where} with {self.worst_share:.3g} times its tolerance: {cause}"
        )

    def _amplification(self) -> str:
        if not self.amplified:
            return ""
        return (
            f"; {self.amplified} of them differ by more than sums do, because this network amplifies rounding: so "
            "does PyTorch's own answer, or one to inputs that are one rounding away"
        )

    @property
    def _noun(self) -> str:
        if len(self.outputs) > 1:
            return f"{len(self.outputs)} outputs"
        return LOGITS if self.outputs == (LOGITS,) else f"output {self.output}"

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON; a value that is not finite becomes null."""
        row: Dict[str, Any] = dict(self.__dict__, passed=self.passed, summary=self.summary())
        row.update(outputs=list(self.outputs), standard=self.standard.to_json() if self.standard is not None else None)
        row["steps"] = None if self.steps is None else dict(self.steps)
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()
        }


def replay_check(
    layers: Sequence[Layer],
    reference: Outputs,
    outputs: Outputs,
    precision: str = "fp32",
    rounded: Optional[Mapping[str, float]] = None,
    standard: Optional[Outputs] = None,
    exact: Optional[Outputs] = None,
    moved: Optional[Outputs] = None,
    own_error: float = 0.0,
) -> ReplayReport:
    """Compare outputs, name -> [N, ...], that were computed with the reference's own scales as masks.

    precision: what the engine stores feature maps and weights in. rounded: layer -> relative error of weights, or of a
    int8 layer, that was rounded when the bundle was made; standard: with rounded weights the outputs of standard
    operators with those weights and scales. exact: `Reference.exact`, for a network that decides for every pixel.
    moved: what one rounding of the inputs changes in each sample, name -> [N], from `moved_by_rounding`. own_error:
    `Reference.own_error`.
    Raises InputError if names or shapes differ or are empty; NaN in any array fails.
    """
    check_same_outputs(reference, outputs)
    relative = relative_tolerance(layers, precision, rounded)
    errors = {
        name: _Errors(reference[name], outputs[name], relative, own_error, None if moved is None else moved[name])
        for name in reference
    }
    output = max(errors, key=lambda name: float(errors[name].share.max()))
    found = errors[output]
    worst = int(found.share.argmax())
    failing = np.any([~(row.share <= 1) for row in errors.values()], axis=0)
    return ReplayReport(
        outputs=tuple(reference),
        output=output,
        samples=len(found.share),
        max_error=float(found.error.max()),
        tolerance=float(found.tolerance[worst]),
        worst_sample=worst,
        worst_share=float(found.share[worst]),
        failing=int(failing.sum()),
        standard=None
        if standard is None
        else replay_check(layers, standard, outputs, precision, exact=exact, moved=moved, own_error=own_error),
        decisions=None if exact is None else max(_explained(reference[n], exact[n], errors[n].error) for n in exact),
        amplified=int(np.any([row.amplified for row in errors.values()], axis=0).sum()),
    )


def check_same_outputs(reference: Outputs, outputs: Outputs) -> None:
    """Raise InputError unless both are at least one sample of the same outputs, name -> [N, ...]."""
    shapes: List[Dict[str, Tuple[int, ...]]] = [
        {name: np.shape(value) for name, value in values.items()} for values in (reference, outputs)
    ]
    sizes = {shape[:1] for shape in shapes[0].values()}
    if shapes[0] != shapes[1] or len(sizes) != 1 or sizes & {(), (0,)}:
        raise InputError(f"outputs {shapes[1]} do not match the reference {shapes[0]}; compare equals")


class _Errors:
    """Largest error of each sample in one output, its tolerance, and their ratio: float64 [N]; who was amplified."""

    def __init__(
        self,
        reference: np.ndarray,
        found: np.ndarray,
        relative: float,
        own_error: float,
        moved: Optional[np.ndarray],
    ) -> None:
        expected = rows_of(np.asarray(reference, np.float64))
        self.error = np.abs(rows_of(np.asarray(found, np.float64)) - expected).max(axis=1)
        largest = np.abs(expected).max(axis=1)
        # The smallest normal number keeps the division defined for a sample whose outputs are all zero.
        sums = np.maximum(relative * largest, np.finfo(np.float32).tiny)
        own = ALLOWED * own_error * largest
        if moved is not None:  # what is not finite explains nothing
            own = np.maximum(own, np.where(np.isfinite(moved), ALLOWED * moved, 0))
        self.tolerance = np.maximum(sums, own)
        self.amplified = (self.error > sums) & (self.error <= own)
        self.share = np.where(np.isfinite(self.error), self.error, np.inf) / self.tolerance


def _explained(reference: np.ndarray, exact: np.ndarray, error: np.ndarray) -> float:
    """The largest error over four times what double precision changes in this output."""
    change = 4 * float(np.abs(np.asarray(exact) - reference).max())
    return float(error.max()) / max(change, float(np.finfo(np.float32).tiny))
