"""What a latency table says of this network, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import ms, percent


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Predicted and measured time; None without a table."""
    found = results["profile"].get("prediction")
    if found is None:
        return None
    errors = found["samples"]
    return {
        "table": found["table"]["bundle"],
        "created": found["table"]["created"],
        "predicted": ms(found["predicted_ms"]),
        "measured": ms(found["measured_ms"]),
        "error": f"{found['error']:+.1%}",
        "median": percent(errors["median"]),
        "p90": percent(errors["p90"]),
        "largest": percent(errors["largest"]),
        "correlation": "–" if errors["correlation"] is None else f"{errors['correlation']:.2f}",
    }
