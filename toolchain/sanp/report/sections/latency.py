"""How the latencies are distributed, what they cost, and whether they may be quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sanp.report.numbers import ms, percent
from sanp.report.sections.variant_names import colours, names
from sanp.report.svg import Plot, picture
from sanp_runtime.contract import DENSE, FLOAT_DENSE, FLOAT_GATED, GATED, OPEN, PARENT
from sanp_runtime.profile.conditions_text import control_lines
from sanp_runtime.profile.text import stall_lines

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
        "gates": profile["main"] == GATED,
        "spread": spread(profile),
        "decisions_vary": any(row["varies"] for row in profile["layers"]),
        "verdict": validity["verdict"],
        "reasons": validity["reasons"],
        "notes": [
            *validity["notes"],
            *stall_lines(profile),
            *control_lines(profile),
            *filter(None, [profile.get("tuning_note")]),
        ],
        "evidence": _evidence(validity["evidence"]),
    }


def distributions(profile: Mapping[str, Any]) -> str:
    """One ridge per engine over a common axis, each scaled to its own peak, with p50, p90 and p99 marked."""
    shown, keys = names(profile), colours(profile)
    values = {name: np.asarray(profile["variants"][name]["latency"]["values"], float) for name in shown}
    everything = np.concatenate(list(values.values()))
    # The far tail would squeeze everything else into a few bins; the table has the maximum.
    low, high = float(everything.min()) * 0.95, 1.1 * max(float(np.percentile(row, 95)) for row in values.values())
    size = {"title": "Latency distributions", "height": 55 + 85 * len(shown), "y_axis": False}
    plot = Plot((low, high), (0, len(shown)), "milliseconds per call", **size)  # type: ignore[arg-type]
    edges = np.linspace(low, high, _BINS + 1)
    for row, name in enumerate(reversed(shown)):
        counts = np.histogram(values[name], edges)[0]
        tops = row + 0.78 * counts / max(int(counts.max()), 1)
        steps = [(float(edge), float(top)) for i, top in enumerate(tops) for edge in (edges[i], edges[i + 1])]
        block = profile["variants"][name]["latency"]
        plot.area([(low, row), *steps, (high, row)], f"fill {keys[name]}", f"{shown[name]}: {_statistics(block)}")
        plot.text(high, row, shown[name], "name", "end", dy=-10)
        for key in ("p50", "p90", "p99"):
            if block[key] is not None and block[key] < high:
                plot.line([(block[key], row), (block[key], row + 0.86)], "mark")
        plot.text(block["p50"], row + 0.86, f"p50 {ms(block['p50'])}", "note", "middle", dy=-3)
    return plot.render()


def latency_against_cost(profile: Mapping[str, Any]) -> str:
    """Every sample at its cost, with the line on which saved work would be saved time."""
    cost, shown = profile["macs"], names(profile)
    dense = dict.fromkeys((DENSE, OPEN, FLOAT_DENSE), cost["dense"])
    costs = {PARENT: cost["parent"], FLOAT_GATED: cost["gated_mean"], **dense}
    times = {name: profile["variants"][name]["typical_ms"] for name in shown}
    points = _samples(profile)
    full, ideal = costs.get(profile["baseline"], cost["dense"]) / 1e6, times[profile["baseline"]]
    top = 1.12 * max([*times.values(), *(y for _, y in points)])
    wide = 1.06 * max([full, *(x for x, _ in points)])
    plot = Plot((0, wide), (0, top), "million multiply-accumulates", "milliseconds", title="Latency against cost")
    plot.line([(0, 0), (full, ideal)], "ideal")
    plot.text(full * 0.5, ideal * 0.5, "saved work = saved time", "note", dy=18)
    others = sorted((name for name in shown if name != profile["main"]), key=lambda name: -times[name])
    for place, name in enumerate(others):
        at = (costs[name] / 1e6, times[name])
        plot.dots([at], f"dot {colours(profile)[name]} big", [f"{shown[name]}: {_cost_and_time(*at)}"])
        plot.text(*at, shown[name], "name", "end", dy=-8 if place == 0 else 4 + 14 * place)
    plot.dots(points, "dot gated", _sample_values(points))
    return plot.render()


def latency_against_cost_zoom(profile: Mapping[str, Any]) -> str | None:
    """The gated samples alone; None if all of them cost the same."""
    points = _samples(profile)
    costs, times = [x for x, _ in points], [y for _, y in points]
    if max(costs) - min(costs) < 1e-3 * max(costs):
        return None
    plot = Plot(_around(costs), _around(times), "million multiply-accumulates", "milliseconds", title="Gated samples")
    slope, offset = np.polyfit(costs, times, 1)
    plot.line([(x, float(slope * x + offset)) for x in (min(costs), max(costs))], "fit")
    plot.dots(points, "dot gated", _sample_values(points))
    return plot.render()


def _samples(profile: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(million MACs, ms) of every sample in the network as trained."""
    return [(row["macs"] / 1e6, row[f"{profile['main']}_ms"]) for row in profile["samples"]]


def _sample_values(points: Sequence[tuple[float, float]]) -> list[str]:
    return [f"sample {index}: {_cost_and_time(*point)}" for index, point in enumerate(points)]


def _cost_and_time(millions: float, milliseconds: float) -> str:
    return f"{millions:.3g} million MACs, {ms(milliseconds)} ms"


def _statistics(block: Mapping[str, Any]) -> str:
    known = [f"{key} {ms(block[key])} ms" for key in ("p50", "p90", "p99") if block[key] is not None]
    return f"{', '.join(known)}, {block['count']} calls"


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def spread(profile: Mapping[str, Any]) -> str:
    """Hard samples or a restless machine: where the spread of the latency comes from."""
    found = profile["variants"][profile["main"]]["spread_ms"]
    return f"From easy to hard samples it is {ms(found['data'])} ms, and the machine adds {ms(found['machine'])} ms."


def _evidence(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("drift of the baseline", f"{evidence['drift']:+.1%}")]
    rows += [(f"spread of {name}, p90 over median", percent(value)) for name, value in evidence["spread"].items()]
    rows.append(("lowest clock over highest", percent(evidence["clock_drop"], 0)))
    rows.append(("time stolen by the hypervisor", percent(evidence["steal"])))
    rows.append(("others on these processors", percent(evidence.get("neighbours"))))
    rows.append(("tasks that waited for a processor", percent(evidence.get("waiting"))))
    quota = evidence.get("quota")
    if quota and quota["periods"]:
        seconds = "" if quota["seconds"] is None else f", {quota['seconds']:.1f} s"
        rows.append(("stops by the container's limit", f"{quota['periods']}{seconds}"))
    rows.append(("times preempted", "–" if evidence["preempted"] is None else str(evidence["preempted"])))
    return rows
