"""Where saved work did not become saved time: the lost time of every layer in three parts, with its cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent

_SHOWN = 16
_WORDS = {
    "gate overhead": "deciding takes most of what was saved",
    "slower kernel": "our kernel is slower than the dense one at the same work",
    "not skipped": "the time did not fall although the work did",
    "launch-bound": "the layer takes little more than the call of a node",
    "too few channels": "fewer than 16 channels are open: vectors stay partly empty",
    "memory-bound": "it moves bytes about as fast as anything in this network does",
    "fixed work": "what is done once per layer, whatever is open",
}
_PARTS = ("gate_ms", "kernel_ms", "unscaled_ms")


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row per layer that lost time, causes by weight, and the bound; None for a network without gates."""
    gap, variants = results["profile"]["gap"], results["profile"]["variants"]
    if gap is None:
        return None
    lossy = [row for row in gap["layers"] if row["cause"] is not None]
    scale = max((sum(max(row[part], 0.0) for part in _PARTS) for row in lossy), default=0.0)
    dense = results["profile"]["variants"]["dense"]["typical_ms"]
    return {
        "rows": [_row(row, scale) for row in lossy[:_SHOWN]],
        "more": max(len(lossy) - _SHOWN, 0),
        "fine": len(gap["layers"]) - len(lossy),
        "causes": _causes(lossy),
        "overhead": f"{gap['overhead_ms']:+.3f}",
        "overhead_share": f"{gap['overhead_ms'] / dense:+.0%}",
        "bound": {name: ms(value) for name, value in gap["upper_bound_ms"].items()},
        "main": ms(variants[results["profile"]["main"]]["typical_ms"]),
    }


def _row(row: Mapping[str, Any], scale: float) -> dict[str, Any]:
    return {
        "layer": row["layer"],
        "macs_saved": percent(row["macs_saved"], 0),
        "saved": f"{row['saved_ms']:.3f}",
        "lost": f"{row['lost_ms']:.3f}",
        "efficiency": percent(row["efficiency"], 0),
        "break_even": percent(row["break_even"], 0),
        "cause": row["cause"],
        "why": _WORDS[row["cause"]],
        "bars": [(part[:-3], 100 * max(row[part], 0.0) / scale) for part in _PARTS] if scale else [],
        "parts": ", ".join(f"{part[:-3]} {row[part]:+.3f}" for part in _PARTS),
    }


def _causes(rows: list[Mapping[str, Any]]) -> list[tuple[str, int, str, str]]:
    """Cause, number of layers, ms together, what it means; the heaviest first."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["cause"], []).append(row["lost_ms"])
    ordered = sorted(found.items(), key=lambda pair: -sum(pair[1]))
    return [(cause, len(lost), f"{sum(lost):.3f}", _WORDS[cause]) for cause, lost in ordered]
