"""What a comparison found: a row per cell, a point per method and budget, and which points others dominate."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sanp.pipeline.compare.matrix import Cell, Matrix
from sanp.pipeline.compare.training import PROFILE, VALIDATION, read_result, trained

# A share of the dense cost: this much more is not called better.
_SAME = 1e-9
_LEVELS = ("L0", "L1", "L2")
_SPREAD = ("accuracy", "cost", "predicted_ms", "typical_ms", "p50_ms", "speed_up")


def rows(root: Path, matrix: Matrix, failed: dict[Path, str]) -> list[dict[str, Any]]:
    """A row for each cell, as far as its steps have been done; `error` is the sentence of one that failed."""
    return [_row(root, cell, failed.get(cell.folder)) for cell in matrix.cells]


def _row(root: Path, cell: Cell, error: str | None) -> dict[str, Any]:
    done = trained(root, cell)
    row = {
        "label": cell.label,
        "budget": cell.budget,
        "latency_budget": cell.latency,
        "seed": cell.seed,
        "folder": str(cell.folder),
        "error": error,
        "accuracy": done["test"]["accuracy"] if done else None,
        "cost": done["test"]["cost"] if done else None,
        "start_accuracy": done["start_accuracy"] if done else None,
        "over_budget": done["over_budget"] if done else None,
        "predicted_ms": (done.get("latency") or {}).get("predicted_ms") if done else None,
        "seconds": done["seconds"] if done else None,
        "options": done["settings"]["options"] if done else None,
    }
    return {**row, **_validated(read_result(root, cell, VALIDATION)), **_measured(read_result(root, cell, PROFILE))}


def _validated(result: dict[str, Any] | None) -> dict[str, Any]:
    if result is None:
        return {"validated": None, "failed_levels": None, "engine_accuracy": None}
    failed = [level for level in _LEVELS if result[level] is not None and not result[level]["passed"]]
    return {"validated": result["passed"], "failed_levels": failed, "engine_accuracy": result["L2"]["accuracy"]}


def _measured(result: dict[str, Any] | None) -> dict[str, Any]:
    names = ("p50_ms", "p90_ms", "typical_ms", "baseline_p50_ms", "speed_up", "verdict")
    if result is None:
        return dict.fromkeys(names)
    main, base = (result["variants"][result[key]] for key in ("main", "baseline"))
    ratios, pixels = result["ratios"], result["bundle"].get("pixel_gated", 0)
    latency = main["latency"]
    return {
        "p50_ms": latency["p50"],
        "p90_ms": latency["p90"],
        "typical_ms": main["typical_ms"],
        # A network that gates pixels has no dense variant beside it; a plain one is its own.
        "baseline_p50_ms": None if pixels and ratios is None else base["latency"]["p50"],
        "speed_up": ratios["measured"] if ratios is not None else None if pixels else 1.0,
        "verdict": result["validity"]["verdict"],
    }


def points(table: Sequence[dict[str, Any]], reference: str | None) -> list[dict[str, Any]]:
    """A point per method and budget over its seeds, with its distance from the method `reference`, seed by seed.

    dominated_macs, dominated_ms: another point is at least as accurate and as cheap (in MACs, in p50), and better in
    one of the two; None where something is missing. minus_macs: for networks trained for a time, seed by seed, their
    accuracy minus that which the same method trained for MACs has at equal measured time, see `minus_macs`.
    """
    goals = [(row["label"], row["budget"], row["latency_budget"]) for row in table if row["accuracy"] is not None]
    reached = {row["seed"]: row["accuracy"] for row in table if row["label"] == reference}
    found = []
    for label, budget, latency in dict.fromkeys(goals):
        goal = (label, budget, latency)
        own = [
            row
            for row in table
            if (row["label"], row["budget"], row["latency_budget"]) == goal and row["accuracy"] is not None
        ]
        known = [row for row in own if reached.get(row["seed"]) is not None]
        found.append(
            {
                "label": label,
                "budget": budget,
                "latency_budget": latency,
                "seeds": [row["seed"] for row in own],
                **{name: spread([row[name] for row in own]) for name in _SPREAD},
                "minus_macs": minus_macs(own, table) if latency is not None else {},
                "minus_reference": {row["seed"]: row["accuracy"] - reached[row["seed"]] for row in known},
                "validated": all(row["validated"] for row in own)
                if all(row["validated"] is not None for row in own)
                else None,
            }
        )
    for axis, cost in (("dominated_macs", "cost"), ("dominated_ms", "p50_ms")):
        marks = dominated(found, lambda point, cost=cost: point[cost])  # type: ignore[misc]
        for point, mark in zip(found, marks):
            point[axis] = mark
    return found


def minus_macs(own: Sequence[dict[str, Any]], table: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Seed -> accuracy of a network that was trained for a time, minus that of the same method trained for MACs.

    The latter is interpolated between the measured times of its budgets to that of this network; a seed whose time lies
    outside of them is missing.
    """
    gaps = {}
    for row in own:
        others = [
            (other["typical_ms"], other["accuracy"])
            for other in table
            if (other["label"], other["seed"], other["latency_budget"]) == (row["label"], row["seed"], None)
            and other["typical_ms"] is not None
            and other["accuracy"] is not None
        ]
        times, accuracies = zip(*sorted(others)) if others else ((), ())
        if row["typical_ms"] is not None and times and times[0] <= row["typical_ms"] <= times[-1]:
            gaps[row["seed"]] = row["accuracy"] - float(np.interp(row["typical_ms"], times, accuracies))
    return gaps


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean, standard deviation (0 for one value), least and most; None unless all values are there."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return {"mean": statistics.mean(known), "sd": deviation, "min": min(known), "max": max(known)}


def dominated(
    found: Sequence[dict[str, Any]], cost: Callable[[dict[str, Any]], dict[str, float] | None]
) -> list[bool | None]:
    """For each point whether another one is no worse in mean accuracy and mean cost, and better in one of them."""
    places = [(point["accuracy"], cost(point)) for point in found]
    means = [None if c is None else (a["mean"], c["mean"]) for a, c in places]

    def beats(other: tuple[float, float], own: tuple[float, float]) -> bool:
        better, cheaper = other[0] - own[0], own[1] - other[1]
        return better >= -_SAME and cheaper >= -_SAME and max(better, cheaper) > _SAME

    return [None if own is None else any(beats(other, own) for other in means if other is not None) for own in means]
