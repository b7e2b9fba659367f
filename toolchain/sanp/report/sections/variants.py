"""The table of the measured variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent
from sanp_runtime.contract import DENSE, GATED, OPEN

_TITLES = {DENSE: "dense", OPEN: "gated, all gates open", GATED: "gated, as trained"}


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """A row per variant, in milliseconds."""
    profile = results["profile"]
    return {
        "samples": profile["settings"]["samples"],
        "variants": _rows(profile),
        "p99_missing": any(row["latency"]["p99"] is None for row in profile["variants"].values()),
        "includes": profile["includes"],
    }


def _rows(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    cost = profile["macs"]
    shares = {"dense": 1.0, "open": None, "gated": cost["gated_mean"] / cost["dense"]}
    rows = []
    for name, title in _TITLES.items():
        variant = profile["variants"][name]
        block = variant["latency"]
        row = {key: ms(block[key]) for key in ("p50", "p90", "p95", "p99", "min", "max", "mean")}
        row.update(name=title, key=name, count=block["count"], typical=ms(variant["typical_ms"]))
        row["macs"] = percent(shares[name], 0) if shares[name] is not None else "100% + gates"
        rows.append(row)
    return rows
