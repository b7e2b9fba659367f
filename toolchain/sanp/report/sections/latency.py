"""How the latencies are distributed, what they cost, and whether they may be quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sanp.report.numbers import ms, percent
from sanp.report.svg import Plot, picture
from sanp_runtime.contract import MEASURED
from sanp_runtime.profile.text import stall_lines

_LABELS = {"dense": "dense", "open": "all gates open", "gated": "gated"}
_BINS = 90


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """Plots, and the evidence of the verdict."""
    profile = results["profile"]
    validity = profile["validity"]
    return {
        "distribution_plot": picture(distributions(profile)),
        "cost_plot": picture(latency_against_cost(profile)),
        "zoom_plot": picture(latency_against_cost_zoom(profile)),
        "correlation": profile["correlation"],
        "spread": spread(profile),
        "decisions_vary": any(row["varies"] for row in profile["layers"]),
        "verdict": validity["verdict"],
        "reasons": validity["reasons"],
        "notes": [*validity["notes"], *stall_lines(profile), *filter(None, [profile.get("tuning_note")])],
        "evidence": _evidence(validity["evidence"]),
    }


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


def spread(profile: Mapping[str, Any]) -> str:
    """Hard samples or a restless machine: where the spread of the gated latency comes from."""
    found = profile["variants"]["gated"]["spread_ms"]
    return f"From easy to hard samples it is {ms(found['data'])} ms, and the machine adds {ms(found['machine'])} ms."


def _evidence(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("drift of the dense baseline", f"{evidence['drift']:+.1%}")]
    rows += [(f"spread of {name}, p90 over median", percent(value)) for name, value in evidence["spread"].items()]
    rows.append(("lowest clock over highest", percent(evidence["clock_drop"], 0)))
    rows.append(("time stolen by the hypervisor", percent(evidence["steal"])))
    rows.append(("times preempted", "–" if evidence["preempted"] is None else str(evidence["preempted"])))
    return rows
