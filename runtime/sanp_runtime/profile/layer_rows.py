"""The table of layers in a profile: what each costs, how far its gate is open, how long it takes in each variant."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

import numpy as np

from sanp_runtime.contract import BLOCK_VARIANTS, DENSE, FLOAT_DENSE, FLOAT_GATED, GATED, MEASURED, OPEN, PARENT
from sanp_runtime.measure.node_times import NodeTime
from sanp_runtime.network.blocks import Blocks, title_of
from sanp_runtime.network.gate_balance import GateBalance, gate_balance
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import OpenChannels, dense_macs, sample_macs
from sanp_runtime.network.support import gates_of
from sanp_runtime.profile.layer_times import gate_times, layer_times

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class NodeTimes:
    """Times of the nodes of one variant, in ms per call.

    layers: of all nodes of a layer, of those of a block under the name of its first; gates: of those that decide its
    gate, a part of it; total_ms: of all nodes; other_ms: of those that belong to no layer; least_ms: of the shortest.
    """

    layers: Mapping[str, float]
    gates: Mapping[str, float]
    total_ms: float
    other_ms: float
    least_ms: float


@dataclass(frozen=True)
class LayerRow:
    """One layer, or the three of a block that is one node. Times are None where the backend does not tell them and for
    variants that a bundle lacks.

    layers: what it is of. channels: that come in and go out; of a block also those between. Of a block the kernel is
    that of its depthwise layer, open_fraction that of the gate of its expansion; MACs and times are sums.
    macs_parent: of the layer of the same name before channels were removed, None without a parent.
    follows: the layers whose gates decide for this one too. open_fraction: share of open channels over samples and
    channels, of a layer with a gate or that follows one. varies: whether they differ between samples.
    """

    name: str
    layers: Tuple[str, ...]
    gated: bool
    follows: Tuple[str, ...]
    channels: Tuple[int, ...]
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
        lists = {key: list(getattr(self, key)) for key in ("layers", "follows", "channels", "kernel", "out_hw")}
        return {**asdict(self), **lists}


def node_times(layers: Sequence[Layer], nodes: Sequence[NodeTime], blocks: Optional[Blocks] = None) -> NodeTimes:
    """Sums of one variant from its executed nodes; blocks: those of the variant."""
    times = layer_times(layers, nodes, blocks)
    total = sum(node.typical_ms for node in nodes)
    least = min((node.typical_ms for node in nodes), default=0.0)
    return NodeTimes(times, gate_times(layers, nodes), total, total - sum(times.values()), least)


def layer_rows(
    layers: Sequence[Layer],
    parent: Sequence[Layer],
    scales: Mapping[str, np.ndarray],
    nodes: Mapping[str, NodeTimes],
    blocks: Optional[Blocks] = None,
) -> List[LayerRow]:
    """A row per layer, and one for each block. parent: the layer table before channels were removed, empty if it is not
    known.

    scales: gated layer -> [n, Co], 0 = closed; nodes: variant -> its times.
    """
    before = {layer.name: dense_macs((layer,)) for layer in parent}
    table = {layer.name: layer for layer in layers}
    together = {members[0]: tuple(members) for members in (blocks or {}).values()}
    later = {name for members in together.values() for name in members[1:]}
    return [
        _row([table[name] for name in together.get(layer.name, (layer.name,))], before, scales, nodes)
        for layer in layers
        if layer.name not in later
    ]


def _row(
    layers: Sequence[Layer],
    before: Mapping[str, int],
    scales: Mapping[str, np.ndarray],
    nodes: Mapping[str, NodeTimes],
) -> LayerRow:
    first, last, names = layers[0], layers[-1], [layer.name for layer in layers]
    times = {name: _time(nodes[name], name, names) if name in nodes else None for name in MEASURED}
    macs = float(sample_macs(layers, scales).mean()) if scales else float(dense_macs(layers))
    decisions = _decisions(first, scales) if first.masked else None
    return LayerRow(
        name=title_of(names),
        layers=tuple(names),
        gated=first.gated,
        follows=gates_of(first.follows) if first.follows is not None else (),
        channels=(first.c_in, *(layer.c_out for layer in layers[1:-1]), last.c_out),
        kernel=first.kernel if len(layers) == 1 else layers[1].kernel,
        out_hw=last.out_hw,
        macs_parent=_sum([before.get(name) for name in names]),
        macs_dense=dense_macs(layers),
        macs_gated=macs,
        open_fraction=float(decisions.mean()) if decisions is not None else None,
        varies=bool(decisions.std(axis=0).any()) if decisions is not None else None,
        parent_ms=times[PARENT],
        dense_ms=times[DENSE],
        open_ms=times[OPEN],
        gated_ms=times[GATED],
        gate_ms=_gate_time(nodes[GATED], names) if GATED in nodes else None,
        float_dense_ms=times[FLOAT_DENSE],
        float_gated_ms=times[FLOAT_GATED],
    )


def _time(nodes: NodeTimes, variant: str, names: Sequence[str]) -> Optional[float]:
    """Of a block: its own in variants that have it, else the sum of its layers, if all are known."""
    if variant in BLOCK_VARIANTS:
        return nodes.layers.get(names[0])
    return _sum([nodes.layers.get(name) for name in names])


def _gate_time(nodes: NodeTimes, names: Sequence[str]) -> Optional[float]:
    found = [nodes.gates[name] for name in names if name in nodes.gates]
    return sum(found) if found else None


def _sum(values: Sequence[Optional[Number]]) -> Optional[Number]:
    """None if one of them is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None


def _decisions(layer: Layer, scales: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which output channels of a masked layer are open, bool [n, Co]."""
    mask: np.ndarray = OpenChannels({name: (scale != 0).astype(np.float64) for name, scale in scales.items()}).mask(
        layer.outputs
    )
    return mask != 0


def gates_of_profile(
    layers: Sequence[Layer], scales: Mapping[str, np.ndarray], nodes: Mapping[str, NodeTimes]
) -> List[GateBalance]:
    """What the gates cost and save by the times of the nodes; empty where the backend does not tell them.

    The dense variant has every layer by itself, so layers of a block are told apart in it.
    """
    if DENSE not in nodes or GATED not in nodes:
        return []
    shares = {name: float((scale != 0).mean()) for name, scale in scales.items()}
    dense, gates = nodes[DENSE].layers, nodes[GATED].gates
    price = {name: gates[name] for name in scales if name in gates}
    return gate_balance(layers, shares, dense, price) if dense and price else []
