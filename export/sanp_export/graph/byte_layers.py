"""Which layers our kernels of bytes suit: one rule for training, which rounds there, and for compiling."""

from __future__ import annotations

from collections.abc import Collection

from sanp_runtime.network.layers import Layer

_GROUPED = "float32: the kernels of bytes are slow for grouped convolutions"
# More products of bytes than this may leave a sum of 32 bits; docs/operators.md has the bound.
_MOST_PRODUCTS = 65536
_SMALL = "float32: it has no gate and a map of one pixel, where bytes gain nothing"
_LONG = f"float32: its sums have more than {_MOST_PRODUCTS} products, which 32 bits may not hold"


def unsuited(layers: Collection[Layer]) -> dict[str, str]:
    """Layer that stays float32 whatever it costs -> why."""
    return {row.name: reason for row in layers if (reason := _reason(row)) is not None}


def _reason(row: Layer) -> str | None:
    if row.groups > 1:
        return _GROUPED
    if not row.masked and row.out_hw == (1, 1):
        return _SMALL
    return _LONG if row.kernel[0] * row.kernel[1] * row.c_in > _MOST_PRODUCTS else None
