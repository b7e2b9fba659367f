"""A latency table and a prediction in lines for a person; both command lines print these."""

from __future__ import annotations

from typing import Any, List, Mapping

from sanp_runtime.latency.rows import LatencyRow
from sanp_runtime.profile.conditions_text import control_lines
from sanp_runtime.profile.text import verdict_line


def table_lines(table: Mapping[str, Any]) -> List[str]:
    """A row per shape: the time of one layer with all, half and few channels open on both sides; how good the fit is.

    table: `LatencyTable.to_json()`.
    """
    rows = [LatencyRow.from_json(row) for row in table["rows"]]
    names = [f"{len(row.layers)}x {row.shape}" for row in rows]
    width = max(map(len, names))
    lines = [f"{'us per layer at':{width}}{'100 %':>9}{'50 %':>9}{'10 %':>9}"]
    for name, row in zip(names, rows):
        shape = row.shape
        times = [row.time_ms(share * shape.c_in, share * shape.c_out) for share in (1.0, 0.5, 0.1)]
        lines.append(f"{name:{width}}" + "".join(f"{1e3 * time:9.1f}" for time in times))
    error = table["error"]
    return [
        *lines,
        f"other operators and the call: {1e3 * table['other_ms']:.1f} us; the network with all gates open "
        f"{table['open_ms']:.4f} ms, dense {table['dense_ms']:.4f} ms",
        f"error of {error['points']} masks that the fit did not see: median {error['median']:.1%}, 90 % within "
        f"{error['p90']:.1%}, largest {error['largest']:.1%}",
        *_condition_lines(table),
        f"verdict: {verdict_line(table)}",
    ]


def _condition_lines(table: Mapping[str, Any]) -> List[str]:
    """The power mode of a Jetson, clocks that were fixed, and what could not be set back."""
    mode = table["settings"].get("power_mode")
    lines = control_lines({"controls": table["controls"]})
    return lines if mode is None else [f"power mode: {mode}", *lines]


def prediction_lines(profile: Mapping[str, Any]) -> List[str]:
    """What was predicted beside what was measured, in one line; none for a profile without a prediction."""
    found = profile.get("prediction")
    if found is None:
        return []
    samples, ratio = found["samples"], found["dense_ratio"]
    speed = (
        f"; dense takes {ratio:.2f} times what it took for the table, at that speed the error is "
        f"{found['error_at_dense_speed']:+.1%}"
        if ratio is not None
        else ""
    )
    return [
        f"predicted by the table of {found['table']['bundle']}: {found['predicted_ms']:.4f} ms, measured "
        f"{found['measured_ms']:.4f} ms ({found['error']:+.1%}){speed}; single samples: median "
        f"{samples['median']:.1%}, 90 % within {samples['p90']:.1%}, largest {samples['largest']:.1%}"
    ]
