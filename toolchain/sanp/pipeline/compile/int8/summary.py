"""The record of an int8 bundle in lines for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.sections.int8 import sentence


def summary(record: Mapping[str, Any]) -> list[str]:
    """`Manifest.int8`: a line for each gated layer, and what the int8 network answers on samples held back."""
    return [
        *(_layer(name, row) for name, row in record["layers"].items()),
        *(f"{name}: {reason}" for name, reason in record["float32"].items()),
        sentence(record),
    ]


def _layer(name: str, row: Mapping[str, Any]) -> str:
    noise = "" if row["snr_db"] is None else f", signal over noise {row['snr_db']:.0f} dB"
    written = f"y = {_step(row['y'])}, " if "y" in row else ""  # what TensorRT hands on is its own business
    return (
        f"{name}: bytes, x = {_step(row['x'])}, {written}weights {row['weights'][0]:.2g} to "
        f"{row['weights'][1]:.2g}; alone it changes the logits by {row['error']:.2%}{noise}"
    )


def _step(row: Mapping[str, Any]) -> str:
    """What a byte q stands for."""
    return f"{row['step']:.3g} q" if row["zero_point"] == 0 else f"{row['step']:.3g} (q - {row['zero_point']})"
