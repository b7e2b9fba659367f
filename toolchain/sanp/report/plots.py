"""The plots of the page: latency distributions, latency against cost, margins of the gate decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sanp.report.svg import Plot
from sanp.report.words import ms
from sanp_runtime.contract import MEASURED

_LABELS = {"dense": "dense", "open": "all gates open", "gated": "gated"}
_BINS = 90


def distributions(profile: Mapping[str, Any]) -> str:
    """One ridge per engine over a common axis, each scaled to its own peak, with p50, p90 and p99 marked."""
    values = {name: np.asarray(profile["variants"][name]["latency"]["values"], float) for name in MEASURED}
    everything = np.concatenate(list(values.values()))
    # The far tail would squeeze everything else into a few bins; the table has the maximum.
    low, high = float(everything.min()) * 0.95, 1.1 * max(float(np.percentile(row, 95)) for row in values.values())
    plot = Plot((low, high), (0, 3), "milliseconds per call", title="Latency distributions", height=310, y_axis=False)
    edges = np.linspace(low, high, _BINS + 1)
    for row, name in enumerate(reversed(MEASURED)):
        counts = np.histogram(values[name], edges)[0]
        tops = row + 0.78 * counts / max(int(counts.max()), 1)
        steps = [(float(edge), float(top)) for i, top in enumerate(tops) for edge in (edges[i], edges[i + 1])]
        plot.area([(low, row), *steps, (high, row)], f"fill {name}")
        block = profile["variants"][name]["latency"]
        plot.text(high, row, _LABELS[name], "name", "end", dy=-10)
        for key in ("p50", "p90", "p99"):
            if block[key] is not None and block[key] < high:
                plot.line([(block[key], row), (block[key], row + 0.86)], "mark")
        plot.text(block["p50"], row + 0.86, f"p50 {ms(block['p50'])}", "note", "middle", dy=-3)
    return plot.render()


def latency_against_cost(profile: Mapping[str, Any]) -> str:
    """Every sample at its cost, with the line on which saved work would be saved time."""
    rows, dense = profile["samples"], profile["macs"]["dense"] / 1e6
    times = {name: profile["variants"][name]["typical_ms"] for name in MEASURED}
    points = [(row["macs"] / 1e6, row["gated_ms"]) for row in rows]
    top = 1.12 * max(*times.values(), *(y for _, y in points))
    wide = 1.06 * max(dense, *(x for x, _ in points))
    plot = Plot((0, wide), (0, top), "million multiply-accumulates", "milliseconds", title="Latency against cost")
    plot.line([(0, 0), (dense, times["dense"])], "ideal")
    plot.text(dense * 0.5, times["dense"] * 0.5, "saved work = saved time", "note", dy=18)
    plot.dots([(dense, times["dense"])], "dot dense big")
    plot.text(dense, times["dense"], "dense", "name", "end", dy=18)
    plot.dots([(dense, times["open"])], "dot open big")
    plot.text(dense, times["open"], "all gates open", "name", "end", dy=-8)
    plot.dots(points, "dot gated")
    return plot.render()


def latency_against_cost_zoom(profile: Mapping[str, Any]) -> str | None:
    """The gated samples alone; None if all of them cost the same."""
    points = [(row["macs"] / 1e6, row["gated_ms"]) for row in profile["samples"]]
    costs, times = [x for x, _ in points], [y for _, y in points]
    if max(costs) - min(costs) < 1e-3 * max(costs):
        return None
    plot = Plot(_around(costs), _around(times), "million multiply-accumulates", "milliseconds", title="Gated samples")
    slope, offset = np.polyfit(costs, times, 1)
    plot.line([(x, float(slope * x + offset)) for x in (min(costs), max(costs))], "fit")
    plot.dots(points, "dot gated")
    return plot.render()


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


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
            plot.area([(left, 0), (left, height[i]), (right, height[i]), (right, 0)], kind)
            plot.text((left + right) / 2, height[i], f"{count}", "note", "middle", dy=-4)
    plot.line([(0, 0), (0, top)], "mark")
    return plot.render()
