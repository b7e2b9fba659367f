"""The table of the layers: open channels, MACs, time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """A row per layer."""
    profile = results["profile"]
    return {"layers": _rows(profile), "node_times": profile["node_times"], "ms": ms, "percent": percent}


def _rows(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    most = max(row["macs_dense"] for row in profile["layers"])
    rows = []
    for row in profile["layers"]:
        dense, gated = row["dense_ms"], row["gated_ms"]
        rows.append(
            {
                "name": row["name"],
                "shape": f"{row['channels'][0]} → {row['channels'][1]}, {row['kernel'][0]}×{row['kernel'][1]}, "
                f"{row['out_hw'][0]}×{row['out_hw'][1]}",
                "open": row["open_fraction"],
                "varies": row["varies"],
                "dense_width": 100 * row["macs_dense"] / most,
                "gated_width": 100 * row["macs_gated"] / most,
                "share": row["macs_gated"] / row["macs_dense"] if row["macs_dense"] else 1.0,
                "dense_ms": ms(dense),
                "open_ms": ms(row["open_ms"]),
                "gated_ms": ms(gated),
                "speed": dense / gated if dense and gated else None,
            }
        )
    return rows
