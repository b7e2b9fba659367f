"""What each gate costs and what it saves: in its own layer, in those that follow it, and in those that read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np

from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, OpenChannels, count_macs, dense_macs

_CONVOLUTIONS = Convention(spm="none")


@dataclass(frozen=True)
class GateBalance:
    """One gate, in ms per call: price_ms is the time of deciding, saved_ms the time of the work that it takes away."""

    layer: str
    price_ms: float
    saved_ms: float

    @property
    def pays(self) -> bool:
        """Whether it saves more than it costs."""
        return self.saved_ms > self.price_ms

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def gate_balance(
    layers: Sequence[Layer],
    open_shares: Mapping[str, float],
    dense_ms: Mapping[str, float],
    price_ms: Mapping[str, float],
) -> List[GateBalance]:
    """A row for each gate of a layer table whose price is known, in the order of the table.

    open_shares: gated layer -> mean share of its channels that are open; dense_ms: layer -> time with every channel,
    layers without one save nothing; price_ms: gated layer -> time of its gate. A gate saves what the network would take
    longer if it alone were open, were the time of a layer proportional to the pairs of channels that it computes and
    the gates independent of one another.
    """
    masks = {row.name: np.full((1, row.c_out), open_shares[row.name]) for row in layers if row.gated}
    if not masks:
        return []
    now = _times(layers, masks, dense_ms)
    rows = []
    for row in layers:
        if row.gated and row.name in price_ms:
            without = _times(layers, {**masks, row.name: np.ones((1, row.c_out))}, dense_ms)
            rows.append(GateBalance(row.name, float(price_ms[row.name]), without - now))
    return rows


def _times(layers: Sequence[Layer], masks: Mapping[str, np.ndarray], dense_ms: Mapping[str, float]) -> float:
    channels = OpenChannels(masks)
    return sum(
        dense_ms[row.name] * float(count_macs((row,), channels, _CONVOLUTIONS)[0]) / dense_macs((row,))
        for row in layers
        if row.name in dense_ms
    )
