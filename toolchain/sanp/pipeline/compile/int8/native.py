"""`sanp compile --int8` for TensorRT: standard pairs around what it computes itself; our plugin stays float32."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import onnx

from sanp.pipeline.compile.int8.control import Chosen, choose, opened, returned, sensitivities
from sanp.pipeline.compile.int8.quantise import MAX_DROP, Int8, convolutions
from sanp.pipeline.compile.int8.ranges import METHODS, TRAINED, learned_steps, method_for, steps_of
from sanp.pipeline.compile.int8.requirements import split
from sanp.pipeline.compile.job import Job, Log
from sanp_export.graph import model_file
from sanp_export.graph.byte_layers import LEVELS, MOST, unsuited
from sanp_export.graph.byte_steps import Step, byte_weights
from sanp_export.graph.patterns import WEIGHT, X, gated_convs, layer_of
from sanp_export.passes.tensorrt.quantise_inputs import quantise_inputs
from sanp_export.variants import variants
from sanp_runtime.contract import DENSE, FLOAT_DENSE, FLOAT_GATED, GATED, OPEN, REPLAY, variant_file, variants_of
from sanp_targets.errors import ConfigError

_PLUGIN = "float32: it runs in our plugin, which has no kernel of bytes"


def quantise_native(job: Job, plugin: Collection[str], log: Log) -> Int8:
    """Quantise what TensorRT computes itself of a gated model; plugin: layers in our kernel.

    Judged in ONNX Runtime on the same graphs, which mean the same there. Raises ConfigError for too few samples, and if
    every layer runs in our plugin; ValidationError if accuracy control would return every layer to float32.
    """
    max_drop = MAX_DROP if job.settings.max_drop is None else job.settings.max_drop
    calibration, judged = split(job.answers, job.settings.samples)
    asked = method_for(job.settings.calibration, job.model)
    method = METHODS[0] if asked == TRAINED else asked
    floats = variants(job.model)
    whole = {name: opened(floats[name]) for name in (GATED, OPEN)}
    log(f"ranges of the feature maps on {len(calibration)} samples, and what each layer costs as bytes")
    steps = learned_steps(whole[GATED], calibration.x) if asked == TRAINED else None
    steps = steps or steps_of(whole[GATED], calibration.x, method)
    convs = convolutions(whole[GATED])
    kept = {name: why for name, why in unsuited(job.described.layers).items() if name in convs}
    kept = {**kept, **{name: _PLUGIN for name in job.described.masked if name in plugin}}
    candidates = [row.name for row in job.described.layers if row.name in convs and row.name not in kept]
    if not candidates:
        raise ConfigError(
            f"all {len(kept)} layers of {job.described.name} that could be bytes run in our plugin, expected some that "
            "TensorRT computes itself; choose others with --plugin-layers, or leave out --int8"
        )
    errors = sensitivities(floats[REPLAY], candidates, steps, judged, None, _paired)
    log(f"accuracy of the int8 network on {len(judged)} samples that were held back")
    chosen = choose(floats[GATED], errors, steps, judged, max_drop, None, log, _paired, asked == TRAINED)
    wider = steps_of(whole[OPEN], calibration.x, method)
    models = {
        GATED: _paired(floats[GATED], chosen.layers, steps),
        OPEN: _paired(floats[OPEN], chosen.layers, wider),
        REPLAY: _paired(floats[REPLAY], chosen.layers, steps),
        DENSE: _paired(floats[DENSE], chosen.layers, wider),
        FLOAT_GATED: floats[GATED],
        FLOAT_DENSE: floats[DENSE],
    }
    record = {
        "calibration": asked,
        "calibration_samples": len(calibration),
        "max_drop": max_drop,
        "check": chosen.check,
        "layers": _rows(whole[GATED], chosen, steps),
        "byte_gates": [],
        "float32": {**kept, **returned(chosen)},
    }
    names = {name: variant_file(name) for name in variants_of(True, False, int8=True)}
    return Int8(replace(job, described=replace(job.described, variants=names, parent={}), parent=None), models, record)


def symmetric(step: Step) -> float:
    """The step of signed bytes with the zero point 0 for the range of unsigned ones: 127 of them on either side."""
    return max(step.zero, LEVELS - step.zero) * step.size / MOST


def _paired(model: onnx.ModelProto, layers: Collection[str], steps: Mapping[str, Step]) -> onnx.ModelProto:
    """A variant whose layers of these names read rounded bytes."""
    graph = model_file.to_graph(model)
    quantise_inputs(graph, layers, {name: symmetric(step) for name, step in steps.items()})
    return model_file.to_model(graph, model_file.metadata_of(model))


def _rows(whole: onnx.ModelProto, chosen: Chosen, steps: Mapping[str, Step]) -> dict[str, dict[str, Any]]:
    """Steps and errors of every int8 layer: of what it reads, what it writes is a number of the next one."""
    convs = {layer_of(conv): conv for conv in gated_convs(model_file.to_graph(whole))}
    rows = {}
    for name in chosen.layers:
        sizes = byte_weights(convs[name].inputs[WEIGHT].values)[1]
        rows[name] = {
            "x": {"step": symmetric(steps[convs[name].inputs[X].name]), "zero_point": 0},
            "weights": [float(sizes.min()), float(sizes.max())],
            "error": chosen.errors[name],
            "snr_db": None,
        }
    return rows
