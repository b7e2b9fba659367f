"""Multiply-accumulates as the unit of a budget."""

from __future__ import annotations

from collections.abc import Sequence

from sanp.cost.polynomial import PolynomialCounter
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, dense_macs, layer_cost


class MacCounter(PolynomialCounter):
    """Counts the MACs of a layer table under one convention (a `Counter`); the default counts heads and gates."""

    unit = "MACs"

    def __init__(self, layers: Sequence[Layer], convention: Convention | None = None) -> None:
        super().__init__(layers, [layer_cost(layer, convention) for layer in layers])
        self.dense: int = dense_macs(self.layers, convention)
