"""The table of the measured variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent
from sanp.report.sections.variant_names import colours, names
from sanp_runtime.contract import DENSE, FLOAT_DENSE, FLOAT_GATED, OPEN, PARENT


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """A row per variant, in milliseconds."""
    profile = results["profile"]
    return {
        "samples": profile["settings"]["samples"],
        "variants": _rows(profile),
        "p99_missing": any(row["latency"]["p99"] is None for row in profile["variants"].values()),
        "includes": profile["includes"],
        "opened": OPEN in profile["variants"],
        "ratios": profile["ratios"] is not None,
        "random_parent": profile["bundle"]["parent_weights"] == "untrained",
    }


def _rows(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    cost, keys = profile["macs"], colours(profile)
    full = cost["dense"] if cost["parent"] is None else cost["parent"]
    dense, gated = cost["dense"] / full, cost["gated_mean"] / full
    shares = {PARENT: 1.0, DENSE: dense, FLOAT_DENSE: dense, FLOAT_GATED: gated, profile["main"]: gated}
    rows = []
    for name, title in names(profile).items():
        variant = profile["variants"][name]
        block = variant["latency"]
        row = {key: ms(block[key]) for key in ("p50", "p90", "p95", "p99", "min", "max", "mean")}
        row.update(name=title, key=keys[name], count=block["count"], typical=ms(variant["typical_ms"]))
        row["macs"] = percent(shares[name], 0) if name in shares else f"{percent(shares[DENSE], 0)} + gates"
        rows.append(row)
    return rows
