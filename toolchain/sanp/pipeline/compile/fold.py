"""`sanp compile --fold`: what the gates never use leaves the network, after a check on samples that were held back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from sanp.pipeline.compile.fold_score import compare, sentence
from sanp.pipeline.compile.plain_run import plain_run
from sanp_export.fold import STEADY, Folded, FoldedLayer, as_parent, fold
from sanp_export.graph import model_file
from sanp_export.graph.patterns import GATE_X, channel_gates, layer_of
from sanp_export.passes.constant_gates import saliency
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import CHANNEL_GATE, GATE_PREFIX, GATED_CONV, INPUT
from sanp_runtime.network.outputs import join, rows_of
from sanp_targets.errors import ConfigError, ExportError, ValidationError

# With fewer samples none are held back: halves would say too little about either.
_ENOUGH = 32

# Most accuracy that a fold may cost where nothing else is asked for.
MAX_DROP = 0.01

# Folded and closed network compute the same sums in another order; most samples must agree to this share of the
# largest logit. Not all: a saliency may lie so near its bound that rounding decides.
_AGREE, _MOST = 1e-4, 0.9


@dataclass(frozen=True)
class FoldedModel:
    """What is compiled in place of the exported model.

    parent: the network before, without gates. answers: those of the folded network. record: for the manifest
    (`Manifest.build["fold"]`): `multiple`, `max_drop`, `layers` (see `FoldedLayer`), `check`: None where all is exact.
    """

    model: onnx.ModelProto
    parent: onnx.ModelProto
    answers: Reference | None
    record: dict[str, Any]


def fold_model(
    model: onnx.ModelProto,
    answers: Reference | None,
    parent: onnx.ModelProto | None,
    multiple: int,
    max_drop: float,
    metric: str | None = None,
) -> FoldedModel:
    """Fold an exported model by what its gates do on the samples beside it.

    The fold that half of the samples suggest is judged on the other half; if it passes, all of them suggest the one
    that is kept, which removes no more. Raises ConfigError for a model without channel gates or, unless all its gates
    are static, without samples, ValidationError if it loses more than max_drop on the samples that were held back (see
    `fold_score.compare`, also for metric), ExportError if the folded network does not compute what the closed one does.
    """
    if not any(node.op_type == GATED_CONV for node in model.graph.node):
        raise ConfigError("the model has no channel gates, so there is nothing to fold; leave out --fold")
    learned = any(node.op_type == CHANNEL_GATE for node in model.graph.node)
    if learned and answers is None:
        raise ConfigError(
            "no samples came with the model, expected some: --fold must see which channels are never open; export it "
            "with --samples"
        )
    check, steady = (
        _judge(model, answers, multiple, max_drop, metric) if learned and answers is not None else (None, True)
    )
    folded = fold(model, answers.scales if answers else {}, multiple=multiple, steady=STEADY if steady else None)
    _require_same(folded, answers.x if answers else _noise(model))
    record = {
        "multiple": multiple,
        "max_drop": max_drop,
        "check": check,
        "layers": {name: row.to_json() for name, row in folded.layers.items()},
    }
    whole = parent if parent is not None else as_parent(model)
    return FoldedModel(_with_parent(folded.model, parent), whole, _answers(folded, answers), record)


def summary(record: Mapping[str, Any]) -> list[str]:
    """The record in lines for a person."""
    lines = [
        f"{name}: {len(row['kept'])} of {row['before']} channels, {row['reason']}"
        for name, row in record["layers"].items()
    ]
    check = record["check"]
    if check is None:
        return [*lines, "Every gate is the same for every sample: the folded network computes what the gated one does."]
    return [*lines, _sentence(check)]


def _sentence(check: Mapping[str, Any]) -> str:
    where = "held back" if check["held_back"] else "that the fold was made from: too few to hold any back"
    fixed = "" if check["fixed_gates"] else ", without replacing nearly constant gates, which cost more"
    return f"On {check['samples']} samples {where}, {sentence(check)}{fixed}."


def _judge(
    model: onnx.ModelProto, answers: Reference, multiple: int, max_drop: float, metric: str | None
) -> tuple[dict[str, Any], bool]:
    """The check, and whether nearly constant gates may be replaced; ValidationError if not even without them."""
    everything = np.arange(len(answers))
    held_back = len(answers) >= _ENOUGH
    seen, other = (everything[::2], everything[1::2]) if held_back else (everything, everything)
    evidence, judged = answers.take(seen), answers.take(other)  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for steady in (True, False):
        if not steady and not found["fixed_gates"]:
            break  # there was none to replace
        folded = fold(model, evidence.scales, multiple=multiple, steady=STEADY if steady else None)
        found = {
            "samples": len(judged),
            "held_back": held_back,
            **compare(judged, run(folded.closed, judged.x)[0], metric),
            "fixed_gates": steady and folded.approximates,
        }
        if found["lost"] <= max_drop:
            return {**found, "fixed_gates": steady}, steady
    raise ValidationError(
        f"--fold would lose too much: {_sentence({**found, 'fixed_gates': True})} Expected a loss of at most "
        f"{max_drop:g}; compile without --fold, export with more --samples, or allow more with --max-drop"
    )


def _require_same(folded: Folded, x: np.ndarray) -> None:
    """The surgery is tried before it is believed: the folded network against the whole one with the channels closed."""
    got, expected = run(folded.model, x)[0], run(folded.closed, x)[0]
    for name, value in expected.items():
        worst, largest = np.abs(rows_of(got[name] - value)).max(1), np.abs(value).max()
        if (worst <= _AGREE * largest).mean() < _MOST:
            raise ExportError(
                f"the folded network differs from the one with the same channels closed by up to {worst.max():.3g} in "
                f"{name} (largest value {largest:.3g}), expected rounding; compile without --fold and report the "
                "network"
            )


def _noise(model: onnx.ModelProto) -> np.ndarray:
    """Random images where the model has none."""
    shape, _ = model_file.image_of(model)
    return np.random.default_rng(0).standard_normal((16, *shape)).astype(np.float32)


def _with_parent(model: onnx.ModelProto, named: onnx.ModelProto | None) -> onnx.ModelProto:
    """The folded model, which says that its parent has trained weights; one that was exported stays what it was."""
    metadata = model_file.metadata_of(model)
    properties = json.loads(metadata.get("sanp.properties", "{}"))
    if named is None:
        properties["parent"] = {"weights": "trained"}
    return model_file.to_model(
        model_file.to_graph(model), {**metadata, "sanp.properties": json.dumps(properties, sort_keys=True)}
    )


def _answers(folded: Folded, answers: Reference | None) -> Reference | None:
    """The answers of the folded network on the samples.

    No removed channel matters on any sample, so PyTorch's answers stay and lose columns. Where nearly constant gates
    are replaced, and for other sizes of the images, which did not judge, ONNX Runtime answers from standard operators,
    with the whole model and its gates fixed.
    """
    if answers is None:
        return None
    others = {size: _of_folded(folded, other, folded.closed) for size, other in answers.sizes.items()}
    return replace(_of_folded(folded, answers, folded.closed if folded.approximates else None), sizes=others)


def _of_folded(folded: Folded, answers: Reference, closed: onnx.ModelProto | None) -> Reference:
    """PyTorch's answers without the columns that have gone; closed: the model that answers in its place."""
    stays = {name: list(row.kept) for name, row in folded.layers.items() if row.gate == "stays"}
    outputs, scales, margins = answers.outputs, answers.scales, answers.saliency
    if closed is not None:
        outputs, scales, margins = run(closed, answers.x)
    return Reference(
        answers.x,
        answers.labels,
        outputs,
        {name: np.ascontiguousarray(scales[name][:, kept]) for name, kept in stays.items()},
        {name: np.ascontiguousarray(margins[name][:, kept]) for name, kept in stays.items() if name in margins},
        own_error=answers.own_error,
    )


Named = dict[str, np.ndarray]


def run(model: onnx.ModelProto, x: np.ndarray) -> tuple[Named, Named, Named]:
    """Outputs [N, ...] by name, scales and margins [N, Co] by layer, float32, from standard operators."""
    graph = model_file.to_graph(model)
    gates = {layer_of(gate): gate for gate in channel_gates(graph)}
    present = [output.name for output in graph.outputs]
    read = {name: gate.inputs[GATE_X] for name, gate in gates.items()}
    graph.outputs += [item for item in {id(item): item for item in read.values()}.values() if item.name not in
                      (*present, INPUT)]  # fmt: skip
    own = [output.name for output in model_file.outputs_of(model)]
    wanted = [*own, *[name for name in present if name.startswith(GATE_PREFIX)]]
    more = sorted({item.name for item in read.values()} - {INPUT})
    names = list(dict.fromkeys([*wanted, *more]))
    proto = model_file.to_model(graph, model_file.metadata_of(model))
    outputs, rows = [], []
    for batch, values in plain_run(proto, names, x):
        found_here = dict(zip(names, values))
        outputs.append({name: found_here[name] for name in own})
        rows.append(_means(found_here, batch))
    found = {name: np.concatenate([row[name] for row in rows]) for name in [*names, INPUT]}
    scales = {name.removeprefix(GATE_PREFIX): found[name] for name in wanted[len(own) :]}
    margins = {name: _margin(gate, found[read[name].name]) for name, gate in gates.items()}
    return join(outputs), scales, margins


def _means(outputs: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs and input, a row for each sample; feature maps as their means over the pixels, as gates read them."""
    values = {**outputs, INPUT: x}
    pooled = {name: value.mean((2, 3), np.float64) if value.ndim == 4 else value for name, value in values.items()}
    return {name: np.broadcast_to(value, (len(x), *value.shape[1:])) for name, value in pooled.items()}


def _margin(gate: gs.Node, pooled: np.ndarray) -> np.ndarray:
    """Signed distance of each saliency from the bound that it must exceed, as PyTorch's answers have it."""
    u, k = saliency(gate, pooled), int(gate.attrs.get("k", 0))
    bound = np.full((len(u), 1), float(gate.attrs.get("threshold", 0.0)))
    if k:
        bound = np.maximum(bound, np.sort(np.maximum(u, 0), axis=1)[:, ::-1][:, k : k + 1])
    return (u - bound).astype(np.float32)


def read_layers(record: Mapping[str, Any]) -> dict[str, FoldedLayer]:
    """The layers of a record that went through JSON."""
    return {
        name: FoldedLayer(**{**row, "kept": tuple(row["kept"]), "scale": tuple(row["scale"])})
        for name, row in record["layers"].items()
    }
