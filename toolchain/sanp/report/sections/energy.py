"""Energy per inference: which meter, which rail, in which window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.sections.variant_names import colours, names


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row per variant; None if energy was not asked for."""
    profile = results["profile"]
    energy = profile.get("energy")
    if energy is None:
        return None
    shown, keys = names(profile), colours(profile)
    return {
        "meter": energy["meter"],
        "total": energy["total"],
        "missing": energy["missing"],
        "note": energy["note"],
        "idle": None if energy["idle"] is None else _watts(energy["idle"]["watts"]),
        "rows": [_row(shown[name], keys[name], row) for name, row in energy["variants"].items()],
    }


def _row(title: str, key: str, row: Mapping[str, Any]) -> dict[str, Any]:
    rails = ", ".join(f"{rail} {_watts(value)}" for rail, value in (row["rail_watts"] or {}).items())
    return {
        "title": title,
        "key": key,
        "inference": _millijoules(row["inference_j"]),
        "above_idle": _millijoules(row["above_idle_j"]),
        "watts": _watts(row["watts"]),
        "rails": rails,
        "window": f"{row['window_s']:.1f} s, {row['samples']} samples, {row['inferences']} inferences",
    }


def _millijoules(joules: float | None) -> str:
    return "–" if joules is None else f"{1e3 * joules:.3g}"


def _watts(watts: float | None) -> str:
    return "–" if watts is None else f"{watts:.2f} W"
