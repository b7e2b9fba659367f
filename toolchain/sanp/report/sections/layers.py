"""The table of the layers: open channels, MACs, time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent
from sanp.report.sections.variant_names import names
from sanp_runtime.contract import GATED
from sanp_runtime.profile.text import gate_lines


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """A row per layer."""
    profile = results["profile"]
    others = [f"{ms(profile['node_times'][name]['other_ms'])} {title}" for name, title in names(profile).items()]
    gates, parent = profile["main"] == GATED, profile["macs"]["parent"] is not None
    rows = {
        "layers": _rows(profile),
        "losing": gate_lines(profile),
        "note": profile["node_times"]["note"],
        "others": ", ".join(others),
    }
    return {
        **rows,
        "gates": gates,
        "parent": parent,
        "compared": gates or parent,
        "percent": percent,
    }


def _rows(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    before = "macs_dense" if profile["macs"]["parent"] is None else "macs_parent"
    most = max(row[before] or row["macs_dense"] for row in profile["layers"])
    rows = []
    for row in profile["layers"]:
        base, main = row[f"{profile['baseline']}_ms"], row[f"{profile['main']}_ms"]
        full = row["macs_dense"] if row[before] is None else row[before]
        rows.append(
            {
                "name": row["name"],
                "follows": ", ".join(row.get("follows", ())),
                "shape": f"{' → '.join(map(str, row['channels']))}, {row['kernel'][0]}×{row['kernel'][1]}, "
                f"{row['out_hw'][0]}×{row['out_hw'][1]}",
                "open": row["open_fraction"],
                "varies": row["varies"],
                "dense_width": 100 * full / most,
                "gated_width": 100 * row["macs_gated"] / most,
                "share": row["macs_gated"] / full if full else 1.0,
                "parent_ms": ms(row["parent_ms"]),
                "dense_ms": ms(row["dense_ms"]),
                "open_ms": ms(row["open_ms"]),
                "gated_ms": ms(row["gated_ms"]),
                "speed": base / main if base and main else None,
            }
        )
    return rows
