"""Which layers become bytes: all that can, then the worst back to float32 while the accuracy falls by too much."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sanp.pipeline.compile.job import Log
from sanp.pipeline.compile.plain_run import run_whole
from sanp_export.graph import model_file
from sanp_export.graph.byte_steps import Step
from sanp_export.passes.always_open import always_open
from sanp_export.passes.quantise_layers import quantise_layers
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import LOGITS, gate_output
from sanp_targets.errors import ValidationError

# So many samples show a loss of half a point. With fewer, a prediction that changes counts as a loss: it is the most
# that it can be, and two changes may hide each other.
_ENOUGH = 200

# Sensitivities are ratios of sums over samples and logits: more samples would change none of their order.
_SAMPLES = 64


# A variant, the layers to be int8 and the steps -> the variant with them as int8.
Rewrite = Callable[[onnx.ModelProto, Collection[str], Mapping[str, Step]], onnx.ModelProto]


@dataclass(frozen=True)
class Chosen:
    """What accuracy control decided.

    errors: layer -> change of the logits that this layer alone causes as bytes, with PyTorch's gates, root mean square
    over that of the logits. layers: int8 ones; returned: those that went back, worst first, with the accuracy
    before that. check: samples, accuracies and decisions of the network that is kept, on samples that were held back.
    """

    errors: dict[str, float]
    layers: tuple[str, ...]
    returned: dict[str, float]
    check: dict[str, Any]


def opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 variant whose convolutions without a gate are always open, as far as they can be."""
    graph = model_file.to_graph(model)
    always_open(graph)
    return model_file.to_model(graph, model_file.metadata_of(model))


def quantised(model: onnx.ModelProto, layers: Collection[str], steps: Mapping[str, Step]) -> onnx.ModelProto:
    """A variant with these layers as bytes; those without a gate run in the kernels of the others, always open."""
    graph = model_file.to_graph(model)
    always_open(graph, layers)
    quantise_layers(graph, layers, steps)
    return model_file.to_model(graph, model_file.metadata_of(model))


def sensitivities(
    replay: onnx.ModelProto,
    layers: Sequence[str],
    steps: Mapping[str, Step],
    answers: Reference,
    library: Path | None,
    rewrite: Rewrite | None = None,
) -> dict[str, float]:
    """`Chosen.errors` of these layers. replay: the variant whose masks are the scales, here those of PyTorch.

    rewrite: what makes layers int8, `quantised` by default.
    """
    some = answers.take(range(min(len(answers), _SAMPLES)))

    def logits(chosen: Collection[str]) -> np.ndarray:
        model = (rewrite or quantised)(replay, chosen, steps)
        return run_whole(model, [LOGITS], some.x, some.scales, library)[0].astype(np.float64)

    whole = logits(())
    size = max(float(np.linalg.norm(whole)), float(np.finfo(np.float32).tiny))
    return {name: float(np.linalg.norm(logits((name,)) - whole)) / size for name in layers}


def choose(
    gated: onnx.ModelProto,
    errors: Mapping[str, float],
    steps: Mapping[str, Step],
    judged: Reference,
    max_drop: float,
    library: Path | None,
    log: Log,
    rewrite: Rewrite | None = None,
    trained: bool = False,
) -> Chosen:
    """Return the layer with the largest error to float32 until the accuracy on `judged` falls by at most max_drop.

    On fewer than 200 samples that cannot show such a drop, no prediction may change instead. That does not hold for a
    network that was trained with rounding: its float32 form is not the better one, so the accuracy alone counts.
    gated: the network as trained; rewrite: as in `sensitivities`; errors: of the layers that may become bytes. Raises
    ValidationError if no layer can.
    """
    layers = sorted(errors, key=lambda name: errors[name])
    returned: dict[str, float] = {}
    correct = int((judged.logits.argmax(1) == judged.labels).sum())
    while layers:
        found = _answers((rewrite or quantised)(gated, layers, steps), judged, library)
        now = int((found[0].argmax(1) == judged.labels).sum())
        changed = int((found[0].argmax(1) != judged.logits.argmax(1)).sum())
        blind = len(judged) < _ENOUGH and max_drop * len(judged) < 1 and not trained
        lost = changed if blind else correct - now
        # In whole samples, where a product with the drop is exact enough for its border.
        if lost <= max_drop * len(judged) + 1e-9:
            order = [name for name in errors if name in layers]
            return Chosen(dict(errors), tuple(order), returned, _check(judged, found, correct, now))
        worst = layers.pop()
        returned[worst] = now / len(judged)
        log(
            f"{now} of {len(judged)} samples right instead of {correct}, {changed} predictions changed: {worst} goes "
            "back to float32"
        )
    raise ValidationError(
        f"no layer can become bytes without losing more than {max_drop:.2%} of the accuracy on {len(judged)} samples "
        "that were held back, expected at least one; allow more with --max-drop, calibrate otherwise with "
        "--calibration, export the model with more --samples, or leave out --int8, the bundle stays float32"
    )


def returned(chosen: Chosen) -> dict[str, str]:
    """Layer that accuracy control returned to float32 -> why."""
    return {
        name: f"float32: with it as bytes the accuracy was {accuracy:.2%}, its error is {chosen.errors[name]:.2%}"
        for name, accuracy in chosen.returned.items()
    }


def _answers(model: onnx.ModelProto, judged: Reference, library: Path | None) -> list[np.ndarray]:
    """Logits, and the scales of every layer with a gate."""
    names = [LOGITS, *map(gate_output, judged.scales)]
    values = run_whole(model, names, judged.x, library=library)
    return [
        values[0],
        *(np.broadcast_to(value, scale.shape) for value, scale in zip(values[1:], judged.scales.values())),
    ]


def _check(judged: Reference, found: Sequence[np.ndarray], correct: int, now: int) -> dict[str, Any]:
    gates = {name: _changed(judged, name, values != 0) for name, values in zip(judged.scales, found[1:])}
    return {
        "samples": len(judged),
        "before": correct / len(judged),
        "after": now / len(judged),
        "same": float((found[0].argmax(1) == judged.logits.argmax(1)).mean()),
        "gates": gates,
    }


def _changed(judged: Reference, name: str, opened: np.ndarray) -> dict[str, Any]:
    """Decisions of a layer, those that changed, and the largest margin of one, over the largest of its sample."""
    differs = opened != (judged.scales[name] != 0)
    margin = judged.saliency.get(name)
    largest = None
    if margin is not None and differs.any():
        largest = float((np.abs(margin) / np.abs(margin).max(axis=1, keepdims=True))[differs].max())
    return {"decisions": int(differs.size), "changed": int(differs.sum()), "largest_margin": largest}
