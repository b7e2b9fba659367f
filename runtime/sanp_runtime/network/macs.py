"""Multiply-accumulates of a gated network: dense, and per sample from the channel codes.

One table of layers and one convention serve training, export and the device. With both-sided sparsity a layer costs
H*W*n_out*(kh*kw*n_in + bias); the reported cost is the mean over samples of the sum over layers (the mean of the
products, not the product of the means). Batch norm, activations, pooling and additions are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

import numpy as np

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import evaluate


@dataclass(frozen=True)
class Convention:
    """What is counted. SANP's tables use bias=1 and heads; FBS uses bias=0, heads and spm="full"; ours is the default.

    bias: 1 counts one addition per output element, as SANP does. heads: count classifier layers. spm: "none", "fc" (the
    two fully connected layers of each saliency module, dense) or "full" (plus the H*W*C multiplications by the scale,
    which inference folds into the epilogue).
    """

    bias: int = 0
    heads: bool = True
    spm: str = "fc"


def layer_macs(layer: Layer, n_out: Any, n_in: Any, bias: int = 0) -> Any:
    """H*W*n_out*(k^2*n_in + bias) for counts of open outputs and active inputs of an ungrouped layer."""
    area = layer.out_hw[0] * layer.out_hw[1]
    return area * n_out * (layer.kernel[0] * layer.kernel[1] * n_in + bias)


def dense_macs(layers: Sequence[Layer], convention: Optional[Convention] = None) -> int:
    """MACs of the ungated network: no saliency modules, every channel computed."""
    rule = convention or Convention()
    return sum(
        layer_macs(row, row.c_out, row.c_in // row.groups, rule.bias) for row in layers if rule.heads or not row.head
    )


def spm_macs(layer: Layer, spm: str = "fc") -> int:
    """Overhead of the saliency module of one layer, counted dense."""
    if not layer.gated or spm == "none":
        return 0
    fc = layer.gate_hidden * (layer.c_in + layer.c_out) if layer.gate_hidden else 0
    return fc + (layer.c_out * layer.out_hw[0] * layer.out_hw[1] if spm == "full" else 0)


def grouped_pairs(code_in: Any, code_out: Any, groups: int) -> Any:
    """Pairs (open output, active input) that meet in a convolution: [N], summed over groups."""
    n = code_out.shape[0]
    per_in = code_in.reshape(n, groups, -1).sum(2)
    per_out = code_out.reshape(n, groups, -1).sum(2)
    return (per_in * per_out).sum(1)


def price(
    layers: Sequence[Layer],
    codes: Mapping[str, Any],
    ones: Callable[[int], Any],
    join: Callable[[Sequence[Any]], Any],
    convention: Optional[Convention] = None,
) -> Any:
    """MACs per sample [N] for codes [N, C_out] by gated layer; the arithmetic of NumPy and of torch is the same.

    ones(channels) makes a code of N rows with every channel open, join concatenates codes along the channels. The
    result is a polynomial in the codes, so that soft ones can be differentiated.
    """
    rule = convention or Convention()
    total = ones(1).sum(1) * 0.0
    for layer in layers:
        if layer.head and not rule.heads:
            continue
        code_in = evaluate(layer.support, codes, ones, join)
        code_out = codes[layer.name] if layer.gated else ones(layer.c_out)
        area = layer.out_hw[0] * layer.out_hw[1]
        taps = layer.kernel[0] * layer.kernel[1]
        total = total + area * taps * grouped_pairs(code_in, code_out, layer.groups) + spm_macs(layer, rule.spm)
        if rule.bias:
            total = total + rule.bias * area * code_out.sum(1)
    return total


def sample_macs(
    layers: Sequence[Layer], codes: Mapping[str, np.ndarray], convention: Optional[Convention] = None
) -> np.ndarray:
    """MACs that each sample really needs, float64 [N].

    codes: gated layer -> array [N, C_out]; any nonzero value (a mask or a scale) means open.
    """
    binary = {name: (np.asarray(code) != 0).astype(np.float64) for name, code in codes.items()}
    n = next(iter(binary.values())).shape[0]

    def ones(channels: int) -> np.ndarray:
        return np.ones((n, channels))

    def join(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts, axis=1)

    return np.asarray(price(layers, binary, ones, join, convention))
