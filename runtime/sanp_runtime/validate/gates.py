"""Level 1: the gates that an engine decides for itself equal PyTorch's; every difference is explained by its margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from sanp_runtime.bundle.reference import Reference
from sanp_runtime.network.layers import Layer
from sanp_runtime.validate.tolerance import gate_tolerance
from sanp_targets.errors import InputError

ROUNDING, MISMATCH, CONSEQUENCE = "rounding", "mismatch", "consequence"

# Decades of |margin| / tolerance; the first bin takes everything below, the last everything above.
HISTOGRAM_DECADES = tuple(range(-2, 9))
_LISTED_FLIPS = 200


@dataclass(frozen=True)
class Flip:
    """One decision that differs. margin: distance of the reference's saliency from its bound, None for a static gate.

    kind: "rounding" (the margin is within the tolerance, either answer is right; or, in an int8 bundle, standard
    operators on its bytes decide the same), "mismatch" (it is not: a bug), or
    "consequence" (an earlier layer of the same sample has flipped, so the inputs differ).
    """

    sample: int
    layer: str
    channel: int
    opened: bool
    margin: Optional[float]
    tolerance: float
    kind: str


@dataclass(frozen=True)
class GateReport:
    """Decisions compared and flips; `histogram` counts |margin| / tolerance of all decisions per decade."""

    samples: int
    decisions: int
    flips: Tuple[Flip, ...]
    first_layer: Optional[str]
    histogram: Mapping[str, Any]
    open_fraction: Mapping[str, float]

    def count(self, kind: str) -> int:
        """Flips of one kind."""
        return sum(flip.kind == kind for flip in self.flips)

    @property
    def passed(self) -> bool:
        """True if no flip is a mismatch."""
        return self.count(MISMATCH) == 0

    @property
    def agreement(self) -> float:
        """Share of decisions that are equal."""
        return 1.0 - len(self.flips) / self.decisions if self.decisions else 1.0

    def summary(self) -> str:
        """One line for a person."""
        base = f"{self.decisions - len(self.flips)} of {self.decisions} gate decisions equal on {self.samples} samples"
        if not self.flips:
            return base
        kinds = f"{self.count(ROUNDING)} within rounding, {self.count(CONSEQUENCE)} in their wake"
        if self.passed:
            return f"{base}; {kinds}, first in {self.first_layer}"
        worst = next(flip for flip in self.flips if flip.kind == MISMATCH)
        margin = "it has a static gate" if worst.margin is None else f"margin {worst.margin:.3g}"
        return (
            f"{base}; {self.count(MISMATCH)} not explained by rounding, {kinds}; first in {worst.layer}, sample "
            f"{worst.sample}, channel {worst.channel} ({margin}, tolerance {worst.tolerance:.2g})"
        )

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON; at most 200 flips are listed, mismatches first."""
        order = {MISMATCH: 0, ROUNDING: 1, CONSEQUENCE: 2}
        listed = sorted(self.flips, key=lambda flip: order[flip.kind])[:_LISTED_FLIPS]
        return {
            "passed": self.passed,
            "summary": self.summary(),
            "samples": self.samples,
            "decisions": self.decisions,
            "agreement": self.agreement,
            "flips": {kind: self.count(kind) for kind in order},
            "first_layer": self.first_layer,
            "listed": [dict(flip.__dict__) for flip in listed],
            "histogram": dict(self.histogram),
            "open_fraction": dict(self.open_fraction),
        }


def gate_check(
    layers: Sequence[Layer],
    reference: Reference,
    gates: Mapping[str, np.ndarray],
    precision: str = "fp32",
    rounded: Optional[Mapping[str, float]] = None,
    standard: Optional[Mapping[str, np.ndarray]] = None,
) -> GateReport:
    """Compare an engine's scales (gated layer -> [N, Co], 0 = closed) with the reference's, decision by decision.

    Layers are visited in the order of the table, which is the order of execution: a flip is primary if no earlier layer
    of that sample has flipped. precision: what the engine stores feature maps and weights in. rounded: layer ->
    relative error of weights, or of an int8 layer, that was rounded when the bundle was made. standard: scales of
    standard operators with the same bytes, whose decisions no kernel has to answer for. NaN counts as a decision that
    differs from both. Raises InputError if layers or shapes differ.
    """
    flips: List[Flip] = []
    tainted: Set[int] = set()
    counts = np.zeros(len(HISTOGRAM_DECADES) + 1, np.int64)
    decisions, fractions = 0, {}
    for index, layer in enumerate(layers):
        if not layer.gated:
            continue
        expected, found = _pair(layer.name, reference, gates)
        margin = reference.saliency.get(layer.name)
        bound = np.zeros(len(expected))
        if margin is not None:
            bound = gate_tolerance(layers, index, precision, rounded) * np.abs(margin.astype(np.float64)).max(axis=1)
            counts += _decades(margin, bound)
        other = None if standard is None else standard[layer.name]
        fresh = _flips(layer.name, expected, found, margin, bound, tainted, other)
        tainted.update(flip.sample for flip in fresh)
        flips += fresh
        decisions += expected.size
        fractions[layer.name] = float((found != 0).mean())
    return GateReport(
        samples=len(reference),
        decisions=decisions,
        flips=tuple(flips),
        first_layer=flips[0].layer if flips else None,
        histogram={"decades": list(HISTOGRAM_DECADES), "counts": counts.tolist()},
        open_fraction=fractions,
    )


def _pair(layer: str, reference: Reference, gates: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    if layer not in gates or layer not in reference.scales:
        raise InputError(
            f"there are no gates of layer {layer!r} to compare; use the variant 'gated' of the same network"
        )
    expected, found = reference.scales[layer], np.asarray(gates[layer])
    if expected.shape != found.shape:
        raise InputError(f"gates of {layer!r} are {list(found.shape)}, expected {list(expected.shape)}; compare equals")
    return expected, found


def _flips(
    layer: str,
    expected: np.ndarray,
    found: np.ndarray,
    margin: Optional[np.ndarray],
    bound: np.ndarray,
    tainted: Set[int],
    standard: Optional[np.ndarray],
) -> List[Flip]:
    differs = ((found != 0) != (expected != 0)) | ~np.isfinite(found)
    flips = []
    for sample, channel in np.argwhere(differs).tolist():
        distance = float(margin[sample, channel]) if margin is not None else None
        finite = bool(np.isfinite(found[sample, channel]))
        same = standard is not None and bool((standard[sample, channel] != 0) == (found[sample, channel] != 0))
        if sample in tainted and finite:
            kind = CONSEQUENCE
        elif (finite and same) or (distance is not None and finite and abs(distance) <= bound[sample]):
            kind = ROUNDING
        else:
            kind = MISMATCH
        opened = bool(found[sample, channel] != 0)
        flips.append(Flip(sample, layer, channel, opened, distance, float(bound[sample]), kind))
    return flips


def _decades(margin: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Decisions per decade of |margin| / tolerance."""
    tiny = np.finfo(np.float32).tiny
    ratio = np.maximum(np.abs(margin.astype(np.float64)) / np.maximum(bound[:, None], tiny), tiny)
    places = np.searchsorted(np.asarray(HISTOGRAM_DECADES), np.log10(ratio).ravel(), side="right")
    return np.bincount(places, minlength=len(HISTOGRAM_DECADES) + 1)
