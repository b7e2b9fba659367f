"""The one rounding rule of the width multiplier."""

from __future__ import annotations


def scaled(channels: int, width: float) -> int:
    """channels * width, rounded half up, at least 1 (half up reproduces the published uniform-width costs)."""
    return max(1, int(channels * width + 0.5))
