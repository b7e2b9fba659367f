"""What the training reached, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Accuracies, cost and settings; None leaves the section out."""
    rows = _rows(results["training"])
    return {"training": rows} if rows else None


def _rows(training: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not training:
        return []
    rows = []
    for key in ("dense_accuracy", "accuracy", "cost"):
        if training.get(key) is not None:
            rows.append((key.replace("_", " "), percent(training[key], 2)))
    options = dict(training.get("config") or {})
    if options.get("budget_latency") is not None:  # the share is that time over the dense one, and none of MACs
        options.pop("budget", None)
    if (latency := training.get("latency")) is not None:
        device = latency["device_name"]
        rows.append(
            (
                "predicted latency",
                f"{ms(latency['predicted_ms'])} ms, budget {ms(latency['budget_ms'])} ms, on {device}",
            )
        )
    return rows + [(key, str(value)) for key, value in options.items() if value is not None]
