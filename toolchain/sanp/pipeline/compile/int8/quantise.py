"""`sanp compile --int8`: the variants of an int8 bundle, and the record of how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnx_graphsurgeon as gs

from sanp.pipeline.compile.int8.control import Chosen, choose, opened, quantised, returned, sensitivities
from sanp.pipeline.compile.int8.dense import dense_bytes
from sanp.pipeline.compile.int8.layer_noise import signal_to_noise
from sanp.pipeline.compile.int8.ranges import METHODS, TRAINED, learned_steps, method_for, steps_of
from sanp.pipeline.compile.int8.requirements import check_processor, split
from sanp.pipeline.compile.job import Job, Log
from sanp_export.graph import model_file
from sanp_export.graph.byte_layers import unsuited
from sanp_export.graph.patterns import QLINEAR_W_SCALE, QLINEAR_X_SCALE, QLINEAR_Y_SCALE, layer_of
from sanp_export.passes.count_steps import count_steps
from sanp_export.variants import variants
from sanp_runtime.contract import (
    CONV_SUFFIX,
    DENSE,
    FLOAT_DENSE,
    FLOAT_GATED,
    GATED,
    GATED_CONV,
    GATED_QLINEAR_CONV,
    INT8,
    OPEN,
    QLINEAR_CHANNEL_GATE,
    REPLAY,
    variant_file,
    variants_of,
)
from sanp_targets.processor import processor

# Most accuracy that eight bits may cost where nothing else is asked for: half a point.
MAX_DROP = 0.005


@dataclass(frozen=True)
class Int8:
    """job: with a manifest that lists the variants of bytes; models: variant -> model; record: for the manifest."""

    job: Job
    models: dict[str, onnx.ModelProto]
    record: dict[str, Any]


def quantise(job: Job, library: Path, log: Log) -> Int8:
    """Quantise the convolutions of a gated model; library: whose kernels judge.

    Raises ConfigError for a processor without products of bytes and for too few samples, ValidationError if accuracy
    control would return every layer to float32.
    """
    check_processor(processor())
    max_drop = MAX_DROP if job.settings.max_drop is None else job.settings.max_drop
    calibration, judged = split(job.answers, job.settings.samples)
    asked = method_for(job.settings.calibration, job.model)
    method = METHODS[0] if asked == TRAINED else asked  # of the variants that nobody trained
    floats = variants(job.model)
    ranges = "learned ranges" if asked == TRAINED else f"ranges of the feature maps on {len(calibration)} samples"
    log(f"{ranges}, and what each layer costs as bytes")
    whole = {name: opened(floats[name]) for name in (GATED, OPEN, REPLAY)}
    steps = learned_steps(whole[GATED], calibration.x) if asked == TRAINED else None
    steps = steps or steps_of(whole[GATED], calibration.x, method)
    convs = convolutions(whole[GATED])
    kept = {name: why for name, why in unsuited(job.described.layers).items() if name in convs}
    candidates = [row.name for row in job.described.layers if row.name in convs and row.name not in kept]
    # On samples that did not give the ranges: what exceeds them is a part of the error.
    errors = sensitivities(floats[REPLAY], candidates, steps, judged, library)
    log(f"accuracy of the int8 network on {len(judged)} samples that were held back")
    chosen = choose(floats[GATED], errors, steps, judged, max_drop, library, log, trained=asked == TRAINED)
    wider = steps_of(whole[OPEN], calibration.x, method)
    replayed = quantised(floats[REPLAY], chosen.layers, steps)
    models = {
        GATED: quantised(floats[GATED], chosen.layers, steps),
        OPEN: quantised(floats[OPEN], chosen.layers, wider),
        REPLAY: _with_oracle(replayed),
        DENSE: dense_bytes(floats[DENSE], calibration.x, method),
        FLOAT_GATED: floats[GATED],
        FLOAT_DENSE: floats[DENSE],
    }
    noise = signal_to_noise(whole[REPLAY], replayed, chosen.layers, judged, library)
    record = {
        "calibration": asked,
        "calibration_samples": len(calibration),
        "max_drop": max_drop,
        "check": chosen.check,
        "layers": _rows(models[GATED], chosen, noise),
        "byte_gates": _byte_gates(models[GATED]),
        "float32": {**kept, **returned(chosen)},
    }
    names = {name: variant_file(name) for name in variants_of(True, False, int8=True)}
    # Without the parent: it is float32, and stands beside the float32 network in the bundle of that.
    described = replace(job.described, variants=names, parent={})
    return Int8(replace(job, described=described, parent=None), models, record)


def build_part(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest keeps (`Manifest.build`)."""
    return {"precision": INT8, "int8": dict(record)}


def _with_oracle(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model_file.to_graph(model)
    count_steps(graph)
    return model_file.to_model(graph, model_file.metadata_of(model))


def convolutions(model: onnx.ModelProto) -> set[str]:
    """Layers that our kernels can compute: those with a gate, and others once they are always open."""
    return {node.name.removesuffix(CONV_SUFFIX) for node in model.graph.node if node.op_type == GATED_CONV}


def _rows(model: onnx.ModelProto, chosen: Chosen, noise: Mapping[str, float | None]) -> dict[str, dict[str, Any]]:
    """Steps and errors of every int8 layer, in the order of the table."""
    graph = model_file.to_graph(model)
    convs = {layer_of(node): node for node in graph.nodes if node.op == GATED_QLINEAR_CONV}
    return {
        name: {
            "x": _step(convs[name], QLINEAR_X_SCALE),
            "y": _step(convs[name], QLINEAR_Y_SCALE),
            "weights": _span(convs[name]),
            "error": chosen.errors[name],
            "snr_db": noise[name],
        }
        for name in chosen.layers
    }


def _byte_gates(model: onnx.ModelProto) -> list[str]:
    """Layers whose gate reads bytes, in the order of the graph; a layer of float32 may have one too."""
    return [layer_of(node) for node in model_file.to_graph(model).nodes if node.op == QLINEAR_CHANNEL_GATE]


def _step(conv: gs.Node, at: int) -> dict[str, Any]:
    size, zero = (conv.inputs[index].values.item() for index in (at, at + 1))
    return {"step": float(size), "zero_point": int(zero)}


def _span(conv: gs.Node) -> list[float]:
    """Smallest and largest step of the weights of an output channel."""
    sizes = conv.inputs[QLINEAR_W_SCALE].values
    return [float(sizes.min()), float(sizes.max())]
