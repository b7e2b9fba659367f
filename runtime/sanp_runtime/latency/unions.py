"""How often a network joins the scales of several gates: small nodes of their own, which belong to no layer."""

from __future__ import annotations

from typing import Sequence, Set

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import AnyOf, Concat, Support


def count_unions(layers: Sequence[Layer]) -> int:
    """Additions of two scales that masked layers need; each distinct one is made once, out of the one before it."""
    found: Set[Support] = set()
    for layer in layers:
        if layer.masked:
            _collect(layer.support, found)
            _collect(layer.outputs, found)
    return len(found)


def _collect(support: Support, found: Set[Support]) -> None:
    if isinstance(support, Concat):
        for part in support.parts:
            _collect(part, found)
    elif isinstance(support, AnyOf):
        for part in support.parts:
            _collect(part, found)
        found.update(AnyOf(support.parts[:end]) for end in range(2, len(support.parts) + 1))
