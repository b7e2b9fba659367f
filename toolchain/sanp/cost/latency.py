"""Milliseconds on a device as the unit of a budget, from a latency table that was measured there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sanp.cost.polynomial import PolynomialCounter
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import LayerCost
from sanp_targets.errors import ConfigError


class LatencyCounter(PolynomialCounter):
    """Predicted milliseconds of a network, by the table that was measured on it with all its gates (a `Counter`).

    Of a network that has not got its gates yet it knows the dense time alone. Raises ConfigError for the layers of
    another network.
    """

    unit = "ms"

    def __init__(self, layers: Sequence[Layer], table: LatencyTable) -> None:
        gated = any(row.gated for row in layers)
        if gated:
            table.require_network(layers)
        super().__init__(
            layers, table.costs(layers, table.blocks) if gated else [LayerCost(0.0, 0.0, 0.0)] * len(layers)
        )
        self.dense = table.dense_ms


@dataclass(frozen=True)
class LatencyBudget:
    """A time to meet on the device of a table."""

    ms: float
    table: LatencyTable

    def check(self) -> LatencyBudget:
        """This budget; ConfigError unless it is less than the time of the dense network."""
        if not self.ms < self.table.dense_ms:
            raise ConfigError(
                f"budget_latency is {self.ms:g} ms, expected less than {self.table.dense_ms:.4g} ms, which the dense "
                f"network takes on {self.table.device_name}: without gates it is as fast; lower the budget"
            )
        return self

    @property
    def share(self) -> float:
        """The same as a share of the time of the dense network; ConfigError as `check` says."""
        return self.check().ms / self.table.dense_ms

    def counter(self, layers: Sequence[Layer]) -> LatencyCounter:
        """Counts the time of a network."""
        return LatencyCounter(layers, self.table)
