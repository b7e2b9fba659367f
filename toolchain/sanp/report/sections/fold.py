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
    return {"fold": fold, "folded": rows, "percent": percent}
