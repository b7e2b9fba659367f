"""What a fold costs on samples: accuracy, a metric of the caller, or how far the outputs move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import LOGITS
from sanp_runtime.network.outputs import rows_of
from sanp_runtime.validate.metric import score

ACCURACY, CHANGE = "accuracy", "change"


def compare(judged: Reference, outputs: Mapping[str, np.ndarray], metric: str | None) -> dict[str, Any]:
    """`measure` (accuracy, change or the metric), its values `before` and `after`, what is `lost`, and the share of
    predictions that are the `same` (None unless accuracy was measured).

    judged: samples with PyTorch's outputs; outputs: those of the folded network. metric: "module:function", as in
    `sanp_runtime.validate.metric`. Without it and without classes the loss is the mean over the samples of the largest
    relative change of an output, in the root mean square.
    """
    if metric is not None:
        before, after = score(metric, judged.outputs, judged.labels), score(metric, outputs, judged.labels)
        return {"measure": metric, "before": before, "after": after, "lost": before - after, "same": None}
    if judged.has_classes:
        expected, found = judged.logits.argmax(1), outputs[LOGITS].argmax(1)
        before, after = float((expected == judged.labels).mean()), float((found == judged.labels).mean())
        same = float((expected == found).mean())
        return {"measure": ACCURACY, "before": before, "after": after, "lost": before - after, "same": same}
    lost = float(changes(judged.outputs, outputs).mean())
    return {"measure": CHANGE, "before": 0.0, "after": lost, "lost": lost, "same": None}


def measure_of(judged: Reference, metric: str | None) -> str:
    """What `compare` measures on these samples."""
    return metric if metric is not None else ACCURACY if judged.has_classes else CHANGE


def changes(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> np.ndarray:
    """For each sample the largest relative change of an output, in the root mean square; float64 [n]."""
    return np.max([_change(value, found[name]) for name, value in expected.items()], axis=0)


def sentence(check: Mapping[str, Any]) -> str:
    """What was found, for a person."""
    if check["measure"] == CHANGE:
        return f"outputs change by {check['after']:.4f} of their size (root mean square)"
    same = "" if check["same"] is None else f", {check['same']:.1%} of the predictions are the same"
    return f"{check['measure']} is {check['before']:.4f} before and {check['after']:.4f} after{same}"


def _change(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Root mean square of the change over that of the values, for each sample."""
    size = np.sqrt((rows_of(expected).astype(np.float64) ** 2).mean(1))
    moved = np.sqrt(((rows_of(found).astype(np.float64) - rows_of(expected)) ** 2).mean(1))
    return np.asarray(moved / np.maximum(size, np.finfo(np.float32).tiny))
