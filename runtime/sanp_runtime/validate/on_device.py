"""On-device self-test: the reference samples inside a bundle, through all three levels, with NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Union

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import REPLAY
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.proof import Proof
from sanp_runtime.validate.gates import GateReport, gate_check
from sanp_runtime.validate.replay import ReplayReport, replay_check
from sanp_runtime.validate.task import TaskReport, task_check


@dataclass(frozen=True)
class SelfTest:
    """Reports of the levels; `proof` is None where plain ONNX Runtime was asked for."""

    replay: ReplayReport
    gates: GateReport
    task: TaskReport
    proof: Optional[Proof]

    @property
    def passed(self) -> bool:
        """True if every level passed and, with a library, every gated node ran in our kernels."""
        accelerated = self.proof is None or self.proof.passed
        return accelerated and self.replay.passed and self.gates.passed and self.task.passed

    def summary(self) -> str:
        """One line per level."""
        rows = [("L0 replay", self.replay), ("L1 gates", self.gates), ("L2 task", self.task)]
        lines = [f"{name}: {'PASS' if row.passed else 'FAIL'}  {row.summary()}" for name, row in rows]  # type: ignore[attr-defined]
        if self.proof is not None:
            lines.insert(0, f"kernels: {'PASS' if self.proof.passed else 'FAIL'}  {self.proof.summary()}")
        return "\n".join(lines)

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return {
            "passed": self.passed,
            "L0": self.replay.to_json(),
            "L1": self.gates.to_json(),
            "L2": self.task.to_json(),
            "proof": self.proof.to_json() if self.proof is not None else None,
        }


def self_test(bundle: Union[PathLike, Bundle], *, threads: int = 1, library: Optional[PathLike] = "bundle") -> SelfTest:
    """Run reference.npz through the engine; a level that fails is reported, a bundle that cannot run raises."""
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    reference, layers, precision = opened.reference(), opened.manifest.layers, opened.manifest.precision
    rounded, standard = opened.manifest.rounded, None
    with load_bundle(opened, variant=REPLAY, threads=threads, library=library) as engine:
        replayed = engine(reference.x, reference.scales)
    if rounded and library is not None:
        with load_bundle(opened, variant=REPLAY, threads=threads, library=None) as engine:
            standard = engine(reference.x, reference.scales).logits
    with load_bundle(opened, threads=threads, library=library) as engine:
        own = engine(reference.x)
        proof = engine.proof() if library is not None else None
    return SelfTest(
        replay=replay_check(layers, reference.logits, replayed.logits, precision, rounded, standard),
        gates=gate_check(layers, reference, own.gates, precision, rounded),
        task=task_check(reference, own.logits),
        proof=proof,
    )
