"""The cost of a PyTorch network: its layer table, and what each sample of the last forward pass costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sanp.cost.counter import Counter
from sanp.cost.macs import MacCounter
from sanp.cost.pixels import PixelCounter, pixel_layers
from sanp.data.batch import Batch
from sanp.gating.attach import gated_layers
from sanp.gating.forward import tell
from sanp.tracing.layer_table import layer_table, uncounted
from sanp.tracing.trace import trace
from sanp_runtime.network.layers import Layer


class CostTracker:
    """Follows the support algebra through the network's graph once, then counts every forward pass.

    layers: convolutions and linear layers in execution order, the same table that export and device use.
    counter: what is counted, MACs unless another `Counter` is given. dense: the cost that shares refer to: that of this
    network without gates, or `full` where channels have been removed. uncounted: operations with weights that the cost
    model does not know; empty for ordinary networks.
    """

    def __init__(
        self,
        network: nn.Module,
        example_input: Tensor,
        counter: Callable[[Sequence[Layer]], Counter] = MacCounter,
        full: float | None = None,
    ) -> None:
        tell(network, Batch.example(example_input))
        traced = trace(network, example_input)
        self.layers: tuple[Layer, ...] = layer_table(traced)
        self.uncounted: tuple[str, ...] = uncounted(traced)
        self._pixel_gated = pixel_layers(network)
        self.counter: Counter = counter(self.layers)
        if self._pixel_gated:
            self.counter = PixelCounter(self.counter, self.layers, self._pixel_gated)
        self.dense: float = self.counter.dense if full is None else full
        self._gated = gated_layers(network)

    def masks(self) -> dict[str, Tensor]:
        """Layer name -> hard, noise-free 0/1 mask [N, C_out] of the last forward pass.

        For a layer whose pixels are gated: the share of open pixels of each channel.
        """
        opened = {name: layer.open for name, layer in self._pixel_gated.items()}
        return {**{name: layer.mask for name, layer in self._gated.items()}, **opened}

    def shares(self) -> Tensor:
        """Cost of each sample of the last forward pass as a share of `dense`, float64 [N] on the network's device.

        [1] for a network without gates. No value is copied to the host, so that this can run in every training step.
        """
        return self.counter.sample_cost(self.masks()) / self.dense

    def expected(self, open_shares: Mapping[str, float]) -> float:
        """Expected cost as a share of `dense` if a gated layer opens this share of its channels, or pixels."""
        masks = {
            row.name: torch.full((1, row.c_out), open_shares[row.name], dtype=torch.float64) for row in self._rows()
        }
        return float(self.counter.sample_cost(masks)) / self.dense

    def uniform(self, density: float) -> float:
        """Expected cost as a share of `dense` if every gated channel, or pixel, is open with this probability."""
        return self.expected({row.name: density for row in self._rows()})

    def widths(self) -> dict[str, int]:
        """Layer name -> output channels of the layers whose channels, or pixels, are gated."""
        return {row.name: row.c_out for row in self._rows()}

    def floor(self) -> float:
        """Least cost as a share of `dense`: gates, ungated layers, and one open channel in each gated layer.

        Where pixels are gated: the part of each layer that every pixel computes.
        """
        masks = {row.name: torch.zeros(1, row.c_out, dtype=torch.float64) for row in self._rows()}
        for name, mask in masks.items():
            mask[:, 0] = 0.0 if name in self._pixel_gated else 1.0
        return float(self.counter.sample_cost(masks)) / self.dense

    def _rows(self) -> list[Layer]:
        """The layers with a gate of either kind."""
        return [row for row in self.layers if row.gated or row.name in self._pixel_gated]

    def filter_shares(self) -> dict[str, Tensor]:
        """What closing one filter saves, as a share of `dense`: layer name -> float32 [C_out]."""
        return {name: (saved / self.dense).float() for name, saved in self.counter.filter_costs().items()}
