"""What training for bytes and compiling share, without ONNX: the steps of a byte, and which layers our kernels suit."""

from __future__ import annotations

from collections.abc import Collection

from sanp_runtime.network.layers import Layer

LEVELS = 255  # steps between the smallest and the largest unsigned byte
MOST = 127  # magnitude of a weight; -128 is not used, kernels multiply magnitudes
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
