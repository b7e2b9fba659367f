"""`sanp compile --budgets`: thresholds from half of the samples; what each budget costs and answers on the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from sanp.pipeline.compile.budgets.search import Found, Search, measured
from sanp.pipeline.compile.budgets.times import typical_times
from sanp.pipeline.compile.budgets.turned import TurnedNetwork
from sanp.pipeline.compile.fold_score import CHANGE, measure_of
from sanp.pipeline.compile.job import Job, Log
from sanp_export.graph import model_file
from sanp_export.graph.patterns import layer_of
from sanp_export.passes.dial_inputs import dial_inputs
from sanp_runtime.bundle.budgets import TRAINED, BudgetSetting
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import CHANNEL_GATE, QLINEAR_CHANNEL_GATE
from sanp_runtime.engines.onnxruntime.library import OpLibrary
from sanp_targets.errors import ConfigError, ValidationError

# With fewer samples none are held back: halves would say too little about either.
_ENOUGH = 32
_AS_TRAINED = "trained"


def with_budgets(job: Job, model: onnx.ModelProto, library: Path, log: Log) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The gated variant with its thresholds as inputs, and `Manifest.build["budgets"]` for the budgets of the settings.

    model: the variant as it goes into the bundle otherwise. Raises ConfigError without samples or learned gates, and
    for a budget that closing channels cannot reach; ValidationError for one that loses more than the settings allow.
    """
    name, metric = job.described.name, job.settings.metric
    turned, trained = _turned(model)
    if job.answers is None or not trained:
        what = "none of its gates depends on the image" if not trained else "no samples came with the model"
        cure = "leave --budgets out" if not trained else "export it with --samples 512"
        raise ConfigError(f"{name} cannot be given budgets: {what}, expected learned gates and samples; {cure}")
    calibration, judged = _split(job.answers)
    asked = sorted(set(job.settings.onnxruntime.budgets) - {TRAINED}, reverse=True)
    log(f"thresholds for {len(asked)} budgets on {len(calibration)} samples, judged on {len(judged)}")
    with TurnedNetwork(turned, job.described.output_names, job.described.layers, library) as network:
        search = Search(network, calibration, trained, metric)
        found = {TRAINED: Found(trained, _AS_TRAINED), **{budget: search.find(budget, name) for budget in asked}}
        times = typical_times(
            network, judged.x, {budget: row.thresholds for budget, row in found.items()}, OpLibrary(library)
        )
        rows = [
            BudgetSetting(
                budget=budget,
                thresholds=row.thresholds,
                rule=row.rule,
                **measured(judged, network.run(judged.x, row.thresholds), metric),
                typical_ms=times.ms[budget],
            )
            for budget, row in found.items()
        ]
    measure = measure_of(judged, metric)
    check_loss(rows, measure, job.settings.max_drop)
    return turned, {
        "calibration_samples": len(calibration),
        "samples": len(judged),
        "held_back": len(job.answers) >= _ENOUGH,
        "measure": measure,
        "timing": times.about,
        "settings": [row.to_json() for row in rows],
    }


def check_loss(rows: Sequence[BudgetSetting], measure: str, max_drop: float | None) -> None:
    """ValidationError if a budget loses more than max_drop of the score of the network as trained; None allows all."""
    if max_drop is None:
        return
    for row in rows:
        lost = row.score - rows[0].score if measure == CHANGE else rows[0].score - row.score
        if lost > max_drop:
            raise ValidationError(
                f"the budget {row.budget:g} has {measure} {row.score:.4f}, and the network as trained "
                f"{rows[0].score:.4f}, expected a loss of at most {max_drop:g}; ask for a larger budget, allow more "
                "with --max-drop, or train a network for that cost"
            )


def _turned(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, float]]:
    """The model with its dial, and the thresholds that it was trained with."""
    graph = model_file.to_graph(model)
    dial_inputs(graph)
    gates = [node for node in graph.nodes if node.op in (CHANNEL_GATE, QLINEAR_CHANNEL_GATE)]
    trained = {layer_of(node): float(node.attrs["threshold"]) for node in gates}
    return model_file.to_model(graph, model_file.metadata_of(model)), trained


def _split(answers: Reference) -> tuple[Reference, Reference]:
    """Every second sample gives thresholds, the others judge."""
    if len(answers) < _ENOUGH:
        return answers, answers
    return answers.take(range(0, len(answers), 2)), answers.take(range(1, len(answers), 2))
