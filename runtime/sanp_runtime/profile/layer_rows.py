"""The table of layers in a profile: what each costs, how far its gate is open, how long it takes in each variant."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.contract import DENSE, FLOAT_DENSE, FLOAT_GATED, GATED, MEASURED, OPEN, PARENT
from sanp_runtime.measure.node_times import NodeTime
from sanp_runtime.network.gate_balance import GateBalance, gate_balance
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import OpenChannels, dense_macs, sample_macs
from sanp_runtime.network.support import gates_of
from sanp_runtime.profile.layer_times import gate_times, layer_times


@dataclass(frozen=True)
class NodeTimes:
    """Times of the nodes of one variant, in ms per call.

    layers: of all nodes of a layer; gates: of those that decide its gate, a part of it; total_ms: of all nodes;
    other_ms: of those that belong to no layer; least_ms: of the shortest node.
    """

    layers: Mapping[str, float]
    gates: Mapping[str, float]
    total_ms: float
    other_ms: float
    least_ms: float


@dataclass(frozen=True)
class LayerRow:
    """One layer. Times are None where the backend does not tell them and for variants that a bundle lacks.

    macs_parent: of the layer of the same name before channels were removed, None without a parent.
    follows: the layers whose gates decide for this one too. open_fraction: share of open channels over samples and
    channels, of a layer with a gate or that follows one. varies: whether they differ between samples.
    """

    name: str
    gated: bool
    follows: Tuple[str, ...]
    channels: Tuple[int, int]
    kernel: Tuple[int, int]
    out_hw: Tuple[int, int]
    macs_parent: Optional[int]
    macs_dense: int
    macs_gated: float
    open_fraction: Optional[float]
    varies: Optional[bool]
    parent_ms: Optional[float]
    dense_ms: Optional[float]
    open_ms: Optional[float]
    gated_ms: Optional[float]
    gate_ms: Optional[float]
    float_dense_ms: Optional[float] = None
    float_gated_ms: Optional[float] = None

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        lists = {key: list(getattr(self, key)) for key in ("follows", "channels", "kernel", "out_hw")}
        return {**asdict(self), **lists}


def node_times(layers: Sequence[Layer], nodes: Sequence[NodeTime]) -> NodeTimes:
    """Sums of one variant from its executed nodes."""
    times = layer_times(layers, nodes)
    total = sum(node.typical_ms for node in nodes)
    least = min((node.typical_ms for node in nodes), default=0.0)
    return NodeTimes(times, gate_times(layers, nodes), total, total - sum(times.values()), least)


def layer_rows(
    layers: Sequence[Layer],
    parent: Sequence[Layer],
    scales: Mapping[str, np.ndarray],
    nodes: Mapping[str, NodeTimes],
) -> List[LayerRow]:
    """A row per layer. parent: the layer table before channels were removed, empty if it is not known.

    scales: gated layer -> [n, Co], 0 = closed; nodes: variant -> its times.
    """
    before = {layer.name: dense_macs((layer,)) for layer in parent}
    return [_row(layer, before.get(layer.name), scales, nodes) for layer in layers]


def _row(
    layer: Layer, before: Optional[int], scales: Mapping[str, np.ndarray], nodes: Mapping[str, NodeTimes]
) -> LayerRow:
    times = {name: nodes[name].layers.get(layer.name) if name in nodes else None for name in MEASURED}
    macs = float(sample_macs((layer,), scales).mean()) if scales else float(dense_macs((layer,)))
    decisions = _decisions(layer, scales) if layer.masked else None
    return LayerRow(
        name=layer.name,
        gated=layer.gated,
        follows=gates_of(layer.follows) if layer.follows is not None else (),
        channels=(layer.c_in, layer.c_out),
        kernel=layer.kernel,
        out_hw=layer.out_hw,
        macs_parent=before,
        macs_dense=dense_macs((layer,)),
        macs_gated=macs,
        open_fraction=float(decisions.mean()) if decisions is not None else None,
        varies=bool(decisions.std(axis=0).any()) if decisions is not None else None,
        parent_ms=times[PARENT],
        dense_ms=times[DENSE],
        open_ms=times[OPEN],
        gated_ms=times[GATED],
        gate_ms=nodes[GATED].gates.get(layer.name) if GATED in nodes else None,
        float_dense_ms=times[FLOAT_DENSE],
        float_gated_ms=times[FLOAT_GATED],
    )


def _decisions(layer: Layer, scales: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which output channels of a masked layer are open, bool [n, Co]."""
    mask: np.ndarray = OpenChannels({name: (scale != 0).astype(np.float64) for name, scale in scales.items()}).mask(
        layer.outputs
    )
    return mask != 0


def gates_of_profile(layers: Sequence[Layer], rows: Sequence[LayerRow]) -> List[GateBalance]:
    """What the gates cost and save by the times of the nodes; empty where the backend does not tell them."""
    shares = {row.name: row.open_fraction for row in rows if row.gated and row.open_fraction is not None}
    dense = {row.name: row.dense_ms for row in rows if row.dense_ms is not None}
    price = {row.name: row.gate_ms for row in rows if row.gated and row.gate_ms is not None}
    return gate_balance(layers, shares, dense, price) if dense and price else []
