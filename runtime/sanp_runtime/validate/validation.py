"""The one comparison of a bundle with PyTorch's reference, at three levels; on a workstation and on a device alike.

L0 replays PyTorch's recorded scales: the kernels alone; without gates it compares the outputs as they come. L1 compares
the gates that the engine decides itself; a network without gates has no such level. L2 compares accuracy, a metric of
the caller, or, where there is neither a class nor a metric, the outputs themselves. A kernel
error, a flipped decision and a lost point of accuracy have different causes and different cures, so they are never
mixed into one number. Where `compile` rounded weights, PyTorch keeps its own: L0 and L1 allow for that, and L0 also
compares the kernels with standard operators on the rounded weights. In an int8 bundle L0 compares every byte of
every layer with standard operators on the same bytes; the logits and the gates may differ from PyTorch's by what
rounding to bytes was measured to cost when the bundle was made, and gates also where standard operators on the same
bytes decide so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import GATED, ONNXRUNTIME, REPLAY
from sanp_runtime.engines.base import Engine, Result
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.engines.proof import Proof
from sanp_runtime.network.outputs import join
from sanp_runtime.network.sizes import text_of
from sanp_runtime.validate.agreement import AgreementReport, agreement_check
from sanp_runtime.validate.amplification import moved_by_rounding
from sanp_runtime.validate.budgets import BudgetReport, budget_check
from sanp_runtime.validate.gates import GateReport, gate_check
from sanp_runtime.validate.metric import MetricReport, metric_check
from sanp_runtime.validate.replay import ReplayReport, replay_check
from sanp_runtime.validate.sizes import SizeReport, size_check
from sanp_runtime.validate.task import TaskReport, task_check
from sanp_runtime.validate.text import validation_lines
from sanp_targets.errors import ConfigError

SCHEMA_VERSION = 5
_BATCH = 64

TaskLevel = Union[TaskReport, MetricReport, AgreementReport]
Level = Union[ReplayReport, GateReport, TaskReport, MetricReport, AgreementReport, BudgetReport, SizeReport]


@dataclass(frozen=True)
class Validation:
    """Reports of the levels. bundle: its name and digest.

    gates is None for a network without gates; `proof` also, and where plain ONNX Runtime was asked for. budgets: of a
    bundle that has some, those below 1; empty where plain ONNX Runtime was asked for. sizes: the other sizes of images
    of which the reference has samples.
    """

    replay: ReplayReport
    gates: Optional[GateReport]
    task: TaskLevel
    proof: Optional[Proof]
    samples: int
    bundle: Mapping[str, str]
    budgets: Tuple[BudgetReport, ...] = ()
    sizes: Tuple[SizeReport, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every level passed and, with a library, every gated node ran in our kernels."""
        return (self.proof is None or self.proof.passed) and not self.failed_levels()

    def levels(self) -> Dict[str, Level]:
        """Level name -> report; a further size of the images is a level of its own, and so is a budget."""
        first: Dict[str, Level] = {"L0 replay": self.replay, **({} if self.gates is None else {"L1 gates": self.gates})}
        first["L2 task"] = self.task
        first.update({f"size {text_of(row.size)}": row for row in self.sizes})
        return {**first, **{f"budget {row.budget:g}": row for row in self.budgets}}

    def failed_levels(self) -> List[str]:
        """Names of the levels that failed."""
        return [name for name, report in self.levels().items() if not report.passed]

    def lines(self) -> List[str]:
        """One line for the kernels and one per level, for a person."""
        return validation_lines(self.to_json())

    def summary(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines())

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "validation",
            "bundle": dict(self.bundle),
            "passed": self.passed,
            "samples": self.samples,
            "L0": self.replay.to_json(),
            "L1": self.gates.to_json() if self.gates is not None else None,
            "L2": self.task.to_json(),
            "proof": self.proof.to_json() if self.proof is not None else None,
            "budgets": [row.to_json() for row in self.budgets],
            "sizes": [row.to_json() for row in self.sizes],
        }


def compare(
    bundle: Bundle,
    reference: Reference,
    options: Optional[EngineOptions] = None,
    *,
    relative: float = 0.99,
    max_drop: Optional[float] = None,
    metric: Optional[str] = None,
) -> Validation:
    """Run the samples of a reference through a bundle and compare what comes out with it, level by level.

    reference: any number of samples with PyTorch's outputs, scales and margins. relative, max_drop: the limits of L2,
    see `task_check`; an int8 bundle may lose what it was compiled with, or one sample, unless max_drop is given.
    metric: "module:function" that L2 asks instead of accuracy, see `metric_check`. A level that fails is reported; a
    bundle that cannot run raises, as `load_bundle` says.
    """
    chosen = options or EngineOptions()
    layers, precision, rounding = bundle.manifest.layers, bundle.manifest.precision, bundle.manifest.rounding_of(GATED)
    gated = bool(bundle.manifest.gated)
    with load_bundle(bundle, options=chosen) as engine:
        proof = engine.proof() if gated and chosen.library is not None else None
        own = _run(engine, reference, None)
    replayed, standard = _replay(bundle, reference, chosen) if gated else own.outputs, None
    if bundle.manifest.rounded and chosen.library is not None:
        standard = _replay(bundle, reference, chosen.without_library())
    if bundle.manifest.int8 and max_drop is None:
        relative, max_drop = 0.0, max(float(bundle.manifest.int8["max_drop"]), 1 / len(reference))
    scales = None
    # Bytes of TensorRT are its own, and nobody can look at them: the outputs and the gates are what can be compared.
    ours = bool(bundle.manifest.int8) and bundle.manifest.target["backend"] == ONNXRUNTIME
    if ours and chosen.library is not None:
        with load_bundle(bundle, options=chosen.without_library()) as engine:
            scales = _run(engine, reference, None).gates
    kernels = partial(
        replay_check, layers, reference.outputs, replayed, precision, rounding, standard, reference.exact,
        own_error=reference.own_error,
    )  # fmt: skip
    replay, moved = kernels(), None
    if not replay.passed and not bundle.manifest.int8:
        moved = _moved(bundle, reference, chosen)
        replay = kernels(moved=moved)
    return Validation(
        replay=replace(replay, steps=_steps(bundle, reference, chosen) if ours else {})
        if bundle.manifest.int8
        else replay,
        gates=gate_check(layers, reference, own.gates, precision, rounding, scales) if gated else None,
        task=_task(bundle.manifest, reference, own, moved, relative, max_drop, metric),
        proof=proof,
        samples=len(reference),
        bundle={"name": bundle.manifest.name, "digest": bundle.digest()},
        budgets=_budgets(bundle, reference, own, chosen, rounding) if chosen.library is not None else (),
        sizes=_sizes(bundle, reference, chosen),
    )


def _sizes(bundle: Bundle, reference: Reference, options: EngineOptions) -> Tuple[SizeReport, ...]:
    """A report for each other size of which there are samples."""
    others = reference.sizes
    if not others:
        return ()
    with load_bundle(bundle, options=options) as engine:
        own = {size: _run(engine, other, None) for size, other in others.items()}
    replayed = {size: result.outputs for size, result in own.items()}
    if bundle.manifest.gated:
        with load_bundle(bundle, REPLAY, options) as engine:
            replayed = {size: _run(engine, other, other.scales).outputs for size, other in others.items()}
    found = []
    for size, other in others.items():
        check = partial(size_check, bundle.manifest, size, other, own[size], replayed[size])
        report = check()
        found.append(report if report.replay.passed else check(moved=_moved(bundle, other, options)))
    return tuple(found)


def _budgets(
    bundle: Bundle, reference: Reference, own: Result, options: EngineOptions, rounding: Mapping[str, float]
) -> Tuple[BudgetReport, ...]:
    """A report for each budget below 1, which is the network as trained."""
    settings = bundle.manifest.budgets[1:]
    results: List[List[Result]] = []
    for one in (options, options.without_library()) if settings else ():
        with load_bundle(bundle, options=one) as engine:
            results.append([])
            for row in settings:
                engine.budget = row.budget
                results[-1].append(_run(engine, reference, None))
    layers, trained = bundle.manifest.layers, float(own.macs.mean())
    return tuple(
        budget_check(layers, row, reference, ours, theirs, trained, rounding)
        for row, ours, theirs in zip(settings, *results)
    )


def _task(
    manifest: Manifest,
    reference: Reference,
    own: Result,
    moved: Optional[Mapping[str, np.ndarray]],
    relative: float,
    max_drop: Optional[float],
    metric: Optional[str],
) -> TaskLevel:
    """L2: the metric that was named, else accuracy where samples have classes, else agreement."""
    if metric is not None:
        return metric_check(metric, reference, own.outputs, relative=relative, max_drop=max_drop)
    if reference.has_classes:
        return task_check(reference, own.logits, relative=relative, max_drop=max_drop)
    if max_drop is not None:
        raise ConfigError(
            f"max_drop is {max_drop:g}, and {manifest.name} has no classes whose accuracy could drop, expected a "
            "metric that says what a drop is; name one as --metric module:function, or leave max_drop out"
        )
    precision, rounded = manifest.precision, manifest.rounded
    return agreement_check(
        manifest.layers, reference, own.outputs, own.gates, precision, rounded, relative=relative, moved=moved
    )


def _replay(bundle: Bundle, reference: Reference, options: EngineOptions) -> Dict[str, np.ndarray]:
    """Outputs with the reference's scales fed in."""
    with load_bundle(bundle, REPLAY, options) as engine:
        return _run(engine, reference, reference.scales).outputs


def _moved(bundle: Bundle, reference: Reference, options: EngineOptions) -> Mapping[str, np.ndarray]:
    """What one rounding of the inputs changes with the reference's scales, in standard operators if there are any."""
    if bundle.manifest.gated and bundle.manifest.target["backend"] == ONNXRUNTIME:
        options = options.without_library()
    with load_bundle(bundle, REPLAY if bundle.manifest.gated else None, options) as engine:
        masks = reference.scales if bundle.manifest.gated else None

        def run(x: np.ndarray) -> Mapping[str, np.ndarray]:
            return _run(engine, replace(reference, x=x), masks).outputs

        return moved_by_rounding(run, reference.x, bundle.manifest.precision)


def _steps(bundle: Bundle, reference: Reference, options: EngineOptions) -> Dict[str, int]:
    """Layer of bytes -> the largest distance of one of its bytes from standard operators on the same bytes."""
    largest: Dict[str, int] = {}
    with load_bundle(bundle, REPLAY, options) as engine:
        for start in range(0, len(reference), _BATCH):
            rows = slice(start, start + _BATCH)
            masks = {name: scale[rows] for name, scale in reference.scales.items()}
            for name, found in engine.steps_apart(reference.x[rows], masks).items():
                largest[name] = max(largest.get(name, 0), int(found.max()))
    return largest


def _run(engine: Engine, reference: Reference, masks: Optional[Mapping[str, np.ndarray]]) -> Result:
    """All samples in batches; `masks` holds one row per sample."""
    results = []
    for start in range(0, len(reference), _BATCH):
        rows = slice(start, start + _BATCH)
        part = {name: mask[rows] for name, mask in masks.items()} if masks is not None else None
        results.append(engine(reference.x[rows], part))
    gates = {name: np.concatenate([result.gates[name] for result in results]) for name in engine.gated}
    return Result(join([result.outputs for result in results]), gates, results[0].layers)
