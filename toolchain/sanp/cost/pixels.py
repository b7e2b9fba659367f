"""What a network costs whose pixels take a short path or the whole one (channel gating)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from sanp.cost.counter import Counter
from sanp.tracing.gated_layer import PixelGatedLayer
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs


def pixel_layers(network: nn.Module) -> dict[str, PixelGatedLayer]:
    """Layer name -> layer whose pixels are gated, in module order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, PixelGatedLayer)}


class PixelCounter:
    """A `Counter` over another one: a layer costs MACs * (base + (1 - base) * share of open pixels).

    base is the share of products that every pixel computes. The comparison that decides is not counted, nor its batch
    norm. The inner counter counts these layers whole, in MACs.
    """

    def __init__(self, inner: Counter, layers: Sequence[Layer], gated: Mapping[str, PixelGatedLayer]) -> None:
        self._inner = inner
        self.unit: str = inner.unit
        self.dense: float = inner.dense
        rows = {row.name: row for row in layers}
        # What one channel saves when none of its pixels is open.
        self._saved = {
            name: (1.0 - layer.base_share) * dense_macs((rows[name],)) / rows[name].c_out
            for name, layer in gated.items()
        }

    def sample_cost(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Cost of each sample, float64 [N]; masks hold the share of open pixels [N, C_out] of the layers here."""
        total = self._inner.sample_cost(masks)
        for name, saved in self._saved.items():
            total = total.add((1.0 - masks[name].double()).sum(1), alpha=-saved)
        return total

    def filter_costs(self) -> dict[str, Tensor]:
        """What closing a filter of another layer saves."""
        return self._inner.filter_costs()
