"""Multiply-accumulates of a gated network: dense, and per sample from the channel codes.

One table of layers and one convention serve training, export and the device. With both-sided sparsity a layer costs
H*W*n_out*(kh*kw*n_in + bias); the reported cost is the mean over samples of the sum over layers (the mean of the
products, not the product of the means). Batch norm, activations, pooling and additions are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.support import Dense, Support, evaluate, from_json, to_json
from sanp_targets.errors import InputError


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer (a linear layer is a 1x1 convolution on a 1x1 map).

    `support` describes its input channels; `gated` says whether its own output channels have a gate of the same name;
    `gate_hidden` is the hidden width of its saliency module, 0 if it has none.
    """

    name: str
    c_in: int
    c_out: int
    out_hw: Tuple[int, int]
    kernel: Tuple[int, int] = (1, 1)
    groups: int = 1
    gated: bool = False
    gate_hidden: int = 0
    head: bool = False
    support: Support = field(default=Dense(1))

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        row = dict(self.__dict__)
        row.update(out_hw=list(self.out_hw), kernel=list(self.kernel), support=to_json(self.support))
        return row

    @staticmethod
    def from_json(row: Any) -> "Layer":
        """Read one row of a layer table; InputError if a field is missing, unknown or of the wrong type."""
        kinds = {"name": str, "c_in": int, "c_out": int, "groups": int, "gate_hidden": int, "gated": bool, "head": bool}
        fields = set(kinds) | {"out_hw", "kernel", "support"}
        if not isinstance(row, dict) or set(row) != fields:
            found = sorted(row) if isinstance(row, dict) else row
            raise InputError(
                f"layer table row has the fields {found}, expected {sorted(fields)}; export the model again"
            )
        for key, kind in kinds.items():
            if type(row[key]) is not kind:
                raise InputError(f"layer table field {key} is {row[key]!r}, expected {kind.__name__}; export it again")
        pairs = {key: row[key] for key in ("out_hw", "kernel")}
        for key, pair in pairs.items():
            if not (isinstance(pair, list) and len(pair) == 2 and all(type(v) is int and v > 0 for v in pair)):
                raise InputError(
                    f"layer table field {key} is {pair!r}, expected two positive integers; export it again"
                )
        values = dict(row, support=from_json(row["support"]), **{key: tuple(pair) for key, pair in pairs.items()})
        return Layer(**values)


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
