"""`sanp validate`: a bundle against the PyTorch network it came from, at three levels.

L0 replays PyTorch's recorded scales: the kernels alone. L1 compares the gates that the engine decides itself. L2
compares accuracy on the data set. A kernel error, a flipped decision and a lost point of accuracy have different causes
and different cures, so they are never mixed into one number. Where `compile` rounded weights, PyTorch keeps its own: L0
and L1 allow for that, and L0 also compares the kernels with standard operators on the rounded weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sanp import checkpoint
from sanp.pipeline.export import test_samples
from sanp.pipeline.reference import pytorch_answers
from sanp.settings.validate import ValidateSettings
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import REPLAY
from sanp_runtime.engines.base import Result
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.proof import Proof
from sanp_runtime.validate import GateReport, ReplayReport, TaskReport, gate_check, replay_check, task_check
from sanp_targets.errors import InputError

_BATCH = 64


@dataclass(frozen=True)
class Validation:
    """The three levels, and the proof that they were run on our kernels."""

    replay: ReplayReport
    gates: GateReport
    task: TaskReport
    proof: Proof
    samples: int

    @property
    def passed(self) -> bool:
        """True if all three levels passed."""
        return self.replay.passed and self.gates.passed and self.task.passed

    def levels(self) -> dict[str, Any]:
        """Level name -> report."""
        return {"L0 replay": self.replay, "L1 gates": self.gates, "L2 task": self.task}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "passed": self.passed,
            "samples": self.samples,
            "L0": self.replay.to_json(),
            "L1": self.gates.to_json(),
            "L2": self.task.to_json(),
            "proof": self.proof.to_json(),
        }


def validate(
    bundle: str | Path, source: str | Path, settings: ValidateSettings | None = None, **keywords: Any
) -> Validation:
    """Compare a bundle with the checkpoint `source` on the test split of its data set.

    Settings are an object or its fields as keywords. Raises InputError for damaged files or a checkpoint of another
    network, AccelerationError if a gated layer does not run in our kernel; a level that fails is reported, not raised.
    """
    choice = ValidateSettings.chosen(settings, keywords)
    opened = open_bundle(bundle)
    loaded = checkpoint.load(source)
    images, labels = test_samples(loaded, choice.limit, choice.data_root)
    return compare(opened, loaded.model, images, labels, choice)


def compare(
    bundle: Bundle, model: nn.Module, images: np.ndarray, labels: np.ndarray, settings: ValidateSettings
) -> Validation:
    """`validate` for a network in memory; images float32 [N, C, H, W] normalised, labels int64 [N]."""
    reference = pytorch_answers(model, images, labels)
    _check_same_network(bundle, reference)
    with load_bundle(bundle, threads=settings.threads) as engine:
        proof = engine.proof().require()
        own = _run(engine, reference, None)
    with load_bundle(bundle, variant=REPLAY, threads=settings.threads) as engine:
        replayed = _run(engine, reference, reference.scales)
    layers, precision, rounded = bundle.manifest.layers, bundle.manifest.precision, bundle.manifest.rounded
    standard = None
    if rounded:
        with load_bundle(bundle, variant=REPLAY, threads=settings.threads, library=None) as engine:
            standard = _run(engine, reference, reference.scales).logits
    return Validation(
        replay=replay_check(layers, reference.logits, replayed.logits, precision, rounded, standard),
        gates=gate_check(layers, reference, own.gates, precision, rounded),
        task=task_check(reference, own.logits, relative=settings.relative, max_drop=settings.max_drop),
        proof=proof,
        samples=len(reference),
    )


def _check_same_network(bundle: Bundle, reference: Reference) -> None:
    gated, shape = set(bundle.manifest.gated), tuple(bundle.manifest.input["shape"])
    widths = {name: scale.shape[1] for name, scale in reference.scales.items()}
    if gated != set(widths) or any(bundle.manifest.layer(name).c_out != widths[name] for name in gated):
        raise InputError(
            f"the checkpoint has {len(widths)} gated layers, {bundle.path} has {len(gated)}, or widths differ; "
            "validate a bundle with the checkpoint it was exported from"
        )
    if reference.x.shape[1:] != shape or reference.logits.shape[1] != bundle.manifest.classes:
        raise InputError(
            f"the checkpoint maps {reference.x.shape[1:]} to {reference.logits.shape[1]} classes, {bundle.path} "
            f"maps {shape} to {bundle.manifest.classes}; validate a bundle with the checkpoint it was exported from"
        )


def _run(engine: Any, reference: Reference, masks: dict[str, np.ndarray] | Any) -> Result:
    """All samples in batches; `masks` holds one row per sample."""
    results = []
    for start in range(0, len(reference), _BATCH):
        rows = slice(start, start + _BATCH)
        part = {name: mask[rows] for name, mask in masks.items()} if masks is not None else None
        results.append(engine(reference.x[rows], part))
    gates = {name: np.concatenate([result.gates[name] for result in results]) for name in engine.gated}
    return Result(np.concatenate([result.logits for result in results]), gates, engine.manifest.layers)
