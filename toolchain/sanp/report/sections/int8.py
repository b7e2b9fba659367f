"""Which layers compute on bytes, what that costs each, and what it gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import percent
from sanp.report.sections import variants
from sanp_runtime.profile.text import float_lines


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row per gated layer, of the bundle itself or of the int8 bundle beside it; None if neither is one.

    The variants of the one beside it have a table here: those of the bundle itself have theirs already.
    """
    beside = results.get("int8")
    record = (beside or results)["bundle"]["build"].get("int8")
    if record is None:
        return None
    return {
        "measured": variants.data({**beside, "training": None}) if beside else None,
        "verdict": beside["profile"]["validity"]["verdict"] if beside else None,
        "validation": beside["validation"]["passed"] if beside and beside["validation"] else None,
        "quantised": [_row(name, row, record) for name, row in record["layers"].items()],
        "floats": record["float32"],
        "sentence": sentence(record),
        "gained": float_lines((beside or results)["profile"]),
    }


def sentence(record: Mapping[str, Any]) -> str:
    """How it was calibrated and judged, in one sentence."""
    check = record["check"]
    decisions, changed = (sum(row[key] for row in check["gates"].values()) for key in ("decisions", "changed"))
    origin = f"Ranges ({record['calibration']}) come from {record['calibration_samples']} samples"
    if record["calibration"] == "trained":
        origin = "Ranges are those that the network was trained with"
    return (
        f"{origin}. On {check['samples']} "
        f"that were held back, accuracy is {check['before']:.4f} in float32 and {check['after']:.4f} as bytes (limit: "
        f"{record['max_drop']:g} less), {check['same']:.1%} of the predictions are the same, and {changed} of "
        f"{decisions} gate decisions change."
    )


def _row(name: str, row: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    gate = record["check"]["gates"].get(name)
    return {
        "name": name,
        "x": f"{row['x']['step']:.3g}, {row['x']['zero_point']}",
        "y": f"{row['y']['step']:.3g}, {row['y']['zero_point']}" if "y" in row else "–",
        "weights": f"{row['weights'][0]:.2g} to {row['weights'][1]:.2g}",
        "error": percent(row["error"], 2),
        "noise": "–" if row["snr_db"] is None else f"{row['snr_db']:.0f} dB",
        "changed": "–" if gate is None else f"{gate['changed']} of {gate['decisions']}",
    }
