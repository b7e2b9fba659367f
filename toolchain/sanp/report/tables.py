"""The tables of a profile as CSV, for spreadsheets and other tools; units are in the names of the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

VARIANTS, LAYERS, SAMPLES = "variants.csv", "layers.csv", "samples.csv"
_STATISTICS = ("count", "mean", "stdev", "min", "max", "p50", "p90", "p95", "p99")


def tables(profile: Mapping[str, Any]) -> dict[str, bytes]:
    """File name -> content (RFC 4180, UTF-8). profile: JSON of a profile; a missing value is an empty cell."""
    variants = [
        {"variant": name, "typical_ms": row["typical_ms"]}
        | {key if key == "count" else f"{key}_ms": row["latency"][key] for key in _STATISTICS}
        for name, row in profile["variants"].items()
    ]
    lost = {row["layer"]: row for row in profile["gap"]["layers"]} if profile["gap"] else {}
    layers = [_layer(row, lost.get(row["name"])) for row in profile["layers"]]
    return {VARIANTS: _csv(variants), LAYERS: _csv(layers), SAMPLES: _csv(profile["samples"])}


def _layer(row: Mapping[str, Any], lost: Mapping[str, Any] | None) -> dict[str, Any]:
    """Lists become columns or words; what the layer lost stands beside what it cost."""
    flat = {
        "name": row["name"],
        "gated": row["gated"],
        "follows": " ".join(row["follows"]),
        "layers": " ".join(row.get("layers", [row["name"]])),
        "channels_in": row["channels"][0],
        "channels_between": " ".join(map(str, row["channels"][1:-1])),
        "channels_out": row["channels"][-1],
        "kernel": _by(row["kernel"]),
        "out_hw": _by(row["out_hw"]),
    }
    rest = {key: value for key, value in row.items() if key not in {*flat, "channels"}}
    found = {"saved_ms": None, "lost_ms": None, "efficiency": None, "cause": None, "break_even": None}
    return flat | rest | {key: None if lost is None else lost[key] for key in found}


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    found = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(found[0]) if found else [])
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().encode()
