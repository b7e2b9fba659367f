"""Thresholds for every budget on half of the samples, and what a sample costs and the network answers on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sanp.pipeline.compile.budgets.rules import Rule, rules_of
from sanp.pipeline.compile.budgets.times import typical_times
from sanp.pipeline.compile.budgets.turned import Answer, Thresholds, TurnedNetwork
from sanp.pipeline.compile.fold_score import CHANGE, compare, relative_change
from sanp.pipeline.compile.job import Job, Log
from sanp_export.graph import model_file
from sanp_export.graph.patterns import layer_of
from sanp_export.passes.dial_inputs import dial_inputs
from sanp_runtime.bundle.budgets import TRAINED, BudgetSetting
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import CHANNEL_GATE, LOGITS, QLINEAR_CHANNEL_GATE
from sanp_targets.errors import ConfigError

# With fewer samples none are held back: halves would say too little about either.
_ENOUGH = 32
_HALVINGS = 12
# Of the trained cost: near enough below a budget.
_NEAR = 0.002


def with_budgets(
    job: Job, model: onnx.ModelProto, library: Path, log: Log
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The gated variant with its thresholds as inputs, and `Manifest.build["budgets"]` for those that were asked for.

    model: the variant as it goes into the bundle otherwise. Raises ConfigError without samples or learned gates, and
    for a budget that closing channels cannot reach.
    """
    turned, trained = _turned(model)
    name, answers = job.described.name, job.answers
    if answers is None or not trained:
        what = "no samples came with it" if trained else "none of its gates depends on the image"
        cure = "export it with --samples 512" if trained else "leave --budgets out"
        raise ConfigError(f"{name} cannot be given budgets: {what}, expected samples and learned gates; {cure}")
    calibration, judged = _split(answers)
    log(f"thresholds for {len(job.settings.onnxruntime.budgets)} budgets on {len(calibration)} samples")
    with TurnedNetwork(turned, job.described.output_names, job.described.layers, library) as network:
        search = _Search(network, calibration, trained, name)
        found = {TRAINED: search.trained, **{budget: search.find(budget) for budget in _asked(job)}}
        rows = _rows(network, judged, found, job.settings.budget_metric)
        log(f"latency of {len(rows)} budgets; a busy machine makes it longer")
        times = typical_times(network, judged.x, {row.budget: row.thresholds for row in rows})
    record = {
        "calibration_samples": len(calibration),
        "samples": len(judged),
        "held_back": len(answers) >= _ENOUGH,
        "measure": search.measure(judged, job.settings.budget_metric),
        "rule": search.rule,
        "timing": times.about,
        "settings": [replace(row, typical_ms=times.ms[row.budget]).to_json() for row in rows],
    }
    return turned, record
