"""Multiply-accumulates of a gated network: dense, and per sample from the channel masks.

One table of layers, one formula and one convention serve training, export and the device. A layer costs
H*W*n_out*(kh*kw*n_in + bias) for n_out open outputs and n_in active inputs; the reported cost is the mean over samples
of the sum over layers (the mean of the products, not the product of the means). Batch norm, activations, pooling and
additions are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Support, evaluate


@dataclass(frozen=True)
class Convention:
    """What is counted. SANP's tables use bias=1 and heads; FBS uses bias=0, heads and spm="full"; ours is the default.

    bias: 1 counts one addition per output element, as SANP does. heads: count classifier layers. spm: "none", "fc" (the
    fully connected layers of each saliency module, dense) or "full" (plus the H*W*C multiplications by the scale,
    which inference folds into the epilogue).
    """

    bias: int = 0
    heads: bool = True
    spm: str = "fc"


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer: per_pair for each (open output, active input) that meet, per_output for each open output.

    constant: what is always paid, of MACs the saliency module. per_input: for each active input, of MACs none. Whole
    numbers for MACs; a latency table has milliseconds.
    """

    per_pair: float
    per_output: float
    constant: float
    per_input: float = 0


def layer_cost(layer: Layer, convention: Optional[Convention] = None) -> LayerCost:
    """The formula, for one layer; whoever counts (NumPy, torch, an ONNX graph) multiplies these with channel counts."""
    rule = convention or Convention()
    if layer.head and not rule.heads:
        return LayerCost(0, 0, 0)
    area = layer.out_hw[0] * layer.out_hw[1]
    return LayerCost(area * layer.kernel[0] * layer.kernel[1], area * rule.bias, spm_macs(layer, rule.spm))


def dense_macs(layers: Sequence[Layer], convention: Optional[Convention] = None) -> int:
    """MACs of the ungated network: no saliency modules, every channel computed."""
    costs = [(row, layer_cost(row, convention)) for row in layers]
    return int(sum(row.c_out * (cost.per_pair * (row.c_in // row.groups) + cost.per_output) for row, cost in costs))


def spm_macs(layer: Layer, spm: str = "fc") -> int:
    """MACs of the saliency module of one layer, counted dense."""
    if not layer.gated or spm == "none":
        return 0
    fc = layer.c_in * layer.c_out if layer.gate_direct else layer.gate_hidden * (layer.c_in + layer.c_out)
    return fc + (layer.c_out * layer.out_hw[0] * layer.out_hw[1] if spm == "full" else 0)


class OpenChannels:
    """Counts open channels for masks 0/1 [N, C_out] by gated layer; an int where a tensor is dense, else float64 [N].

    NumPy here; `sanp.cost` overrides the five methods on arrays for torch. Every count is taken once.
    """

    def __init__(self, masks: Mapping[str, Any]) -> None:
        self.masks, self.first = masks, next(iter(masks.values()))
        self._known: Dict[Support, Any] = {}

    def zeros(self) -> Any:
        """Zeros, float64 [N]."""
        return np.zeros(len(self.first))

    def ones(self, channels: int) -> Any:
        """A mask [N, channels] with every channel open."""
        return np.ones((len(self.first), channels))

    def join(self, parts: Sequence[Any]) -> Any:
        """Masks concatenated along the channels."""
        return np.concatenate(parts, axis=1)

    def total(self, values: Any) -> Any:
        """Sum over axis 1, float64 [N]."""
        return values.sum(1, dtype=np.float64)

    def add(self, total: Any, count: Any, factor: float) -> Any:
        """total + factor * count."""
        return total + factor * count

    def outputs(self, layer: Layer) -> Any:
        """Output channels that a layer computes."""
        return self._open(layer.outputs)

    def inputs(self, layer: Layer) -> Any:
        """Input channels of a layer that can be nonzero."""
        return self._open(layer.support)

    def pairs(self, layer: Layer) -> Any:
        """Pairs of an open output and an active input channel that meet, summed over groups."""
        if layer.groups == 1:
            return self._open(layer.support) * self.outputs(layer)
        if layer.is_depthwise and layer.support == layer.outputs:
            return self._open(layer.outputs)  # a channel meets itself; masks between 0 and 1 are not multiplied
        inputs = self.mask(layer.support).reshape(len(self.first), layer.groups, -1)
        outputs = self.mask(layer.outputs).reshape(len(self.first), layer.groups, -1)
        per_group = inputs.sum(2) * outputs.sum(2)
        return self.total(per_group)

    def mask(self, support: Support) -> Any:
        """Mask [N, C] of a tensor with this support."""
        return evaluate(support, self.masks, self.ones, self.join)

    def _open(self, support: Support) -> Any:
        if isinstance(support, Dense):
            return support.channels
        if support not in self._known:
            self._known[support] = self.total(self.mask(support))
        return self._known[support]


def count_macs(layers: Sequence[Layer], channels: OpenChannels, convention: Optional[Convention] = None) -> Any:
    """MACs per sample, float64 [N]: a polynomial in the masks, so that soft ones can be differentiated."""
    return count_costs(layers, [layer_cost(layer, convention) for layer in layers], channels)


def count_costs(layers: Sequence[Layer], costs: Sequence[LayerCost], channels: OpenChannels) -> Any:
    """The same in whatever unit the costs have, one for each layer: float64 [N]."""
    total, constant = channels.zeros(), 0.0
    for layer, cost in zip(layers, costs):
        constant += cost.constant
        counts = (
            (cost.per_pair, channels.pairs),
            (cost.per_output, channels.outputs),
            (cost.per_input, channels.inputs),
        )
        for factor, count in counts:
            value = count(layer) if factor else 0
            if isinstance(value, int):
                constant += factor * value
            else:
                total = channels.add(total, value, factor)
    return total + constant


def sample_macs(
    layers: Sequence[Layer], masks: Mapping[str, np.ndarray], convention: Optional[Convention] = None
) -> np.ndarray:
    """MACs that each sample really needs, float64 [N].

    masks: gated layer -> array [N, C_out]; any nonzero value (a mask or a scale) means open.
    """
    binary = {name: (np.asarray(mask) != 0).astype(np.float64) for name, mask in masks.items()}
    return np.asarray(count_macs(layers, OpenChannels(binary), convention))
