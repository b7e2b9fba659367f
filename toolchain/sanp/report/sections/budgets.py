"""What a call may cost: the budgets of a bundle, with cost, latency and what it does to the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent
from sanp.report.svg import Plot, picture


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row per budget: measured in this profile, or when the bundle was compiled; None without budgets."""
    record = (results["bundle"].get("build") or {}).get("budgets")
    if not record:
        return None
    dense = results["profile"]["macs"]["dense"]
    measured = {row["budget"]: row for row in results["profile"].get("budgets", ())}
    rows = [{**row, **measured.get(row["budget"], {})} for row in record["settings"]]
    share = record["measure"] == "accuracy"
    return {
        "here": bool(measured),
        "measure": record["measure"],
        "samples": record["samples"],
        "held_back": record["held_back"],
        "plot": picture(_plot(rows, record["measure"], share)),
        "rows": [
            {
                "budget": f"{row['budget']:g}",
                "macs": percent(row["macs"] / dense),
                "time": ms(row["typical_ms"]),
                "score": percent(row["score"], 2) if share else f"{row['score']:.4g}",
                "same": percent(row.get("same"), 1),
            }
            for row in rows
        ],
    }


def _plot(rows: list[dict[str, Any]], measure: str, share: bool) -> str | None:
    """Score against latency, a dot per budget; None where no latency is known."""
    points = [(row["typical_ms"], (100 if share else 1) * row["score"], row["budget"]) for row in rows]
    if any(time is None for time, _, _ in points) or len(points) < 2:
        return None
    axes = [_around([point[axis] for point in points]) for axis in (0, 1)]
    unit = f"{measure}, %" if share else measure
    plot = Plot(axes[0], axes[1], "milliseconds, typical", unit, title="Score against latency", height=240)
    plot.line([(time, score) for time, score, _ in points], "fit")
    for time, score, budget in points:
        plot.dots(
            [(time, score)], "dot gated big", [f"budget {budget:g}: {ms(time)} ms, {measure} {score:.4g}{' %' * share}"]
        )
        plot.text(time, score, f"{budget:g}", "name", "middle", dy=-9)
    return plot.render()


def _around(values: list[float]) -> tuple[float, float]:
    room = 0.15 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 1.0
    return min(values) - room, max(values) + room
