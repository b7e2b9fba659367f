"""Constants in 16 bits: rounded to bfloat16, converted to float16."""

from __future__ import annotations

import numpy as np

from sanp_targets.errors import ExportError


def nearest_bf16(values: np.ndarray) -> np.ndarray:
    """Float32 values rounded to bfloat16, ties to even; what lies above its largest number becomes infinite.

    Finite values only: adding to the bits of a NaN may carry into its sign.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    kept = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) & np.uint32(0xFFFF0000)
    return kept.view(np.float32).reshape(values.shape)


def to_half(name: str, values: np.ndarray) -> np.ndarray:
    """Values rounded to float16; ExportError if a finite one would become infinite."""
    with np.errstate(over="ignore"):
        half: np.ndarray = values.astype(np.float16)
    if (np.isinf(half) & np.isfinite(values)).any():
        raise ExportError(
            f"{name}: holds {np.abs(values).max():.3g}, expected at most 65504 for FP16; compile with --precision fp32"
        )
    return half
