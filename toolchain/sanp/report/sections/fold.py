"""What was folded when the bundle was compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import percent


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row per gated layer of the network before; None for a bundle that was not folded."""
    fold = results["bundle"]["build"].get("fold")
    if fold is None:
        return None
    rows = [
        {"name": name, "before": row["before"], "kept": len(row["kept"]), "reason": row["reason"]}
        for name, row in fold["layers"].items()
    ]
    return {"fold": fold, "folded": rows, "fold_sentence": _sentence(fold["check"])}


def _sentence(check: Mapping[str, Any] | None) -> str:
    """What the fold cost; see `sanp.pipeline.compile.fold_score`."""
    if check is None:
        return ""
    if check["measure"] == "change":
        return f"outputs change by {percent(check['after'], 1)} of their size (root mean square)"
    if check["measure"] == "accuracy":
        return f"accuracy is {percent(check['before'], 1)} before and {percent(check['after'], 1)} after"
    return f"{check['measure']} is {check['before']:.4g} before and {check['after']:.4g} after"
