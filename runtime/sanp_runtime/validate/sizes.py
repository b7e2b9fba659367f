"""Images of every other size that a bundle takes: kernels and gates there, against PyTorch's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import GATED
from sanp_runtime.engines.base import Result
from sanp_runtime.network.sizes import Size, text_of
from sanp_runtime.validate.gates import GateReport, gate_check
from sanp_runtime.validate.replay import ReplayReport, replay_check


@dataclass(frozen=True)
class SizeReport:
    """One size, (height, width). replay, gates: as of a `Validation`; gates is None for a network without gates."""

    size: Size
    replay: ReplayReport
    gates: Optional[GateReport]

    @property
    def passed(self) -> bool:
        """True if kernels and gates passed."""
        return self.replay.passed and (self.gates is None or self.gates.passed)

    def summary(self) -> str:
        """One line for a person."""
        return "; ".join(report.summary() for report in (self.replay, self.gates) if report is not None)

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        gates = None if self.gates is None else self.gates.to_json()
        row = {"size": text_of(self.size), "L0": self.replay.to_json(), "L1": gates}
        return {**row, "passed": self.passed, "summary": self.summary()}


def size_check(
    manifest: Manifest,
    size: Size,
    reference: Reference,
    own: Result,
    replayed: Mapping[str, np.ndarray],
    moved: Optional[Mapping[str, np.ndarray]] = None,
) -> SizeReport:
    """Compare one size. reference: its samples; own: what the bundle answers, replayed: with the reference's scales.

    moved: as in `replay_check`.
    """
    layers = manifest.at(size).layers
    precision, rounding = manifest.precision, manifest.rounding_of(GATED)
    replay = replay_check(
        layers, reference.outputs, replayed, precision, rounding, exact=reference.exact, moved=moved,
        own_error=reference.own_error,
    )  # fmt: skip
    gates = gate_check(layers, reference, own.gates, precision, rounding) if manifest.gated else None
    return SizeReport(size, replay, gates)
