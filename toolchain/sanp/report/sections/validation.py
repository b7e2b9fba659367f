"""The answers of the engine against PyTorch's, level by level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sanp.report.svg import Plot, picture
from sanp_runtime.validate.text import levels_in

# Decisions that differ are listed up to this many; report.json has all that were kept.
_LISTED = 20

# What level 2 compares, by its kind.
_TASKS = {
    "accuracy": "accuracy on the data set",
    "metric": "a metric of your own",
    "agreement": "the outputs, decisions included",
}


_BUDGET = "its decisions beside those of standard operators at the same thresholds, and what they do to the answers"


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """Levels, margins of the decisions, and the decisions that differ; nothing of it without a validation."""
    validation = results["validation"]
    return {
        "levels": _levels(validation),
        "margin_plot": picture(margins(validation["L1"]["histogram"]) if validation and validation["L1"] else None),
        "flips": validation["L1"]["listed"][:_LISTED] if validation and validation["L1"] else [],
    }


def _levels(validation: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if validation is None:
        return []
    gates = validation["L1"] is not None
    titles = {} if gates else {"L0 replay": "L0 outputs"}  # there is nothing to replay without gates
    what = {
        "L0 replay": "PyTorch's own gates fed in: the kernels alone"
        if gates
        else "the outputs for the same samples: the kernels alone",
        "L1 gates": "the decisions that the engine takes itself",
        "L2 task": _TASKS[validation["L2"]["kind"]],
    }
    return [
        {
            "title": titles.get(name, name),
            "what": what.get(name, _BUDGET),
            "passed": row["passed"],
            "summary": row["summary"],
        }
        for name, row in levels_in(validation).items()
    ]


def margins(histogram: Mapping[str, Any]) -> str | None:
    """Decisions per decade of margin over tolerance: those left of 1 could flip by rounding alone. None if empty."""
    decades, counts = histogram["decades"], histogram["counts"]
    if not sum(counts):
        return None
    edges = [decades[0] - 1, *decades, decades[-1] + 1]
    height = [float(np.log10(count) + 0.3) if count else 0.0 for count in counts]
    top = max(height) * 1.15
    label = "distance from the threshold, as a power of ten of the rounding tolerance"
    plot = Plot((edges[0], edges[-1]), (0, top), label, title="Margins of the gate decisions", height=220, y_axis=False)
    for i, count in enumerate(counts):
        if count:
            kind = "fill risky" if edges[i + 1] <= 0 else "fill gated"
            left, right = edges[i] + 0.06, edges[i + 1] - 0.06
            value = f"{count} decisions, {10.0 ** edges[i]:g} to {10.0 ** edges[i + 1]:g} tolerances from the threshold"
            plot.area([(left, 0), (left, height[i]), (right, height[i]), (right, 0)], kind, value)
            plot.text((left + right) / 2, height[i], f"{count}", "note", "middle", dy=-4)
    plot.line([(0, 0), (0, top)], "mark")
    return plot.render()
