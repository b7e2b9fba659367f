"""`sanp compile --bf16-weights`: round the weights of small maps, and measure what that does to the answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from sanp.pipeline.compile.plain_run import plain_run
from sanp_export.graph import model_file
from sanp_export.graph.number_types import nearest_bf16
from sanp_export.graph.patterns import WEIGHT, gated_convs, layer_of
from sanp_export.passes.round_weights import round_weights
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import GATE_PREFIX, LOGITS
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import classes_of, join
from sanp_targets.errors import ConfigError

# The kernels read 16-bit weights for outputs of at most this many pixels; kBf16MaxPixels in runtime/native/cpu.
SMALL_MAP = 16


@dataclass(frozen=True)
class Rounding:
    """A model with rounded weights, and what it cost.

    layers: layer -> error of its weights, root mean square over that of the weights. answers: samples, for each output
    the largest value of the model before and the largest difference, changed predictions (None for a network without
    classes), and gate decisions with those that changed, both models in plain ONNX Runtime; None without samples.
    """

    model: onnx.ModelProto
    layers: dict[str, float]
    answers: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """What the manifest keeps (`Manifest.build["bf16_weights"]`)."""
        return {"layers": self.layers, "answers": self.answers}


def round_small_maps(
    model: onnx.ModelProto, answers: Reference | None, in_blocks: Collection[str] = frozenset()
) -> Rounding:
    """Round the weights of every gated layer whose output map has at most 16 pixels to bfloat16.

    in_blocks: layers that run inside of a fused block, whose kernel reads 32 bits: they would lose and gain nothing.
    Raises ConfigError if there is no such layer.
    """
    small = [name for name in small_maps(model_file.layers_of(model)) if name not in in_blocks]
    if not small:
        where = " outside of a fused block" if in_blocks else ""
        raise ConfigError(
            f"no gated layer{where} has an output map of at most {SMALL_MAP} pixels, and only those gain from 16-bit "
            f"weights; leave out --bf16-weights{', or compile with --blocks apart' if in_blocks else ''}"
        )
    rewritten = model_file.to_graph(model)
    before = _weights(rewritten)
    round_weights(rewritten, small)
    after = _weights(rewritten)
    rounded = model_file.to_model(rewritten, model_file.metadata_of(model))
    errors = {name: _relative_rms(before[name], after[name]) for name in small if _fits(after[name])}
    return Rounding(rounded, errors, _difference(model, rounded, answers.x) if answers is not None else None)


def small_maps(layers: Sequence[Layer]) -> list[str]:
    """Names of the gated layers with at most 16 output pixels."""
    return [row.name for row in layers if row.gated and row.out_hw[0] * row.out_hw[1] <= SMALL_MAP]


def summary(row: dict[str, Any]) -> list[str]:
    """`Rounding.to_json` in lines for a person."""
    lines = [
        f"{name}: weights rounded to bfloat16, relative error {error:.2e}" for name, error in row["layers"].items()
    ]
    answers = row["answers"]
    if answers is None:
        return [
            *lines,
            "No samples came with the model, so the change of its answers is not known; `sanp validate` tells.",
        ]
    changes = ", ".join(
        f"{name} by at most {output['largest_difference']:.3g} (largest value {output['largest']:.3g})"
        for name, output in answers["outputs"].items()
    )
    predictions = answers["changed_predictions"]
    counted = "" if predictions is None else f"{predictions} predictions and "
    return [
        *lines,
        f"On {answers['samples']} samples outputs change: {changes}; {counted}"
        f"{answers['changed_gates']} of {answers['gates']} gate decisions change.",
    ]


def _weights(rewritten: gs.Graph) -> dict[str, np.ndarray]:
    return {layer_of(conv): conv.inputs[WEIGHT].values for conv in gated_convs(rewritten)}


def _fits(weights: np.ndarray) -> bool:
    return np.array_equal(nearest_bf16(weights), weights)


def _relative_rms(before: np.ndarray, after: np.ndarray) -> float:
    size = np.linalg.norm(before.astype(np.float64))
    return float(np.linalg.norm(after.astype(np.float64) - before) / size) if size else 0.0


def _difference(before: onnx.ModelProto, after: onnx.ModelProto, x: np.ndarray) -> dict[str, Any]:
    (first, first_gates), (second, second_gates) = _run(before, x), _run(after, x)
    finite = [all(np.isfinite(value).all() for value in answers.values()) for answers in (first, second)]
    if not all(finite):
        when = "after" if finite[0] else "before"
        raise ConfigError(
            f"the outputs on the samples of the model are NaN or infinite {when} its weights are rounded, expected "
            "finite ones; "
            + ("leave out --bf16-weights" if when == "after" else "export the network again with finite answers")
        )
    changes = {
        name: {
            "largest": float(np.abs(value).max()),
            "largest_difference": float(np.abs(second[name].astype(np.float64) - value).max()),
        }
        for name, value in first.items()
    }
    changed = None
    if classes_of(model_file.outputs_of(before)) is not None:
        changed = int((first[LOGITS].argmax(axis=1) != second[LOGITS].argmax(axis=1)).sum())
    return {
        "samples": len(x),
        "outputs": changes,
        "changed_predictions": changed,
        "gates": int(first_gates.size),
        "changed_gates": int((first_gates != second_gates).sum()),
    }


def _run(model: onnx.ModelProto, x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Outputs by name and gate decisions [N, all gates] from standard operators, none of our kernels."""
    own = [output.name for output in model_file.outputs_of(model)]
    names = [value.name for value in model.graph.output if value.name.startswith(GATE_PREFIX)]
    rows = [values for _, values in plain_run(model, [*own, *names], x)]
    # A static gate is one row for the whole batch.
    gates = [
        np.concatenate(
            [np.broadcast_to(value != 0, (len(row[0]), value.shape[1])) for value in row[len(own) :]], axis=1
        )
        for row in rows
    ]
    return join([dict(zip(own, row)) for row in rows]), np.concatenate(gates)
