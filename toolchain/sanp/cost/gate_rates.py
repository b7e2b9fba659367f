"""Whether a gate can pay on a target: the price of deciding against the work that closing half of its channels saves.

The model has few numbers, all of them measured (`gate_rates.json` names the command and the machine):

    price = gate_us + pool_ns * elements of the map that the gate reads + fc_ns * MACs of its two layers
            + follow_us for each layer that follows it
    work  = 2 * MACs / GFLOP/s of its kind: 1x1, larger kernels, grouped, depthwise

It assumes that half of the channels are open everywhere and that gates are independent. What it does not know: caches,
and the reordering of channels that ONNX Runtime does between its own convolutions and ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from sanp.tracing.gated_layer import GatedLayer
from sanp.tracing.layer_table import layer_table
from sanp.tracing.trace import first_input, shape_of, trace
from sanp_runtime.network.gate_balance import GateBalance, gate_balance
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs, spm_macs
from sanp_runtime.network.support import gates_of
from sanp_targets.errors import ConfigError

OPEN_SHARE = 0.5
_FILE = Path(__file__).with_name("gate_rates.json")


@dataclass(frozen=True)
class Rates:
    """Measured on one machine of a target, one thread; see the head of this file. gflops: kind of layer -> rate."""

    gate_us: float
    pool_ns: float
    fc_ns: float
    follow_us: float
    gflops: Mapping[str, float]

    def work_ms(self, layer: Layer) -> float:
        """Time of a layer with every channel."""
        return 2e-6 * dense_macs((layer,)) / self.gflops[kind_of(layer)]

    def price_ms(self, layer: Layer, elements: int, followers: int) -> float:
        """Time of a gate that reads this many elements."""
        fc = spm_macs(layer)
        return 1e-3 * (self.gate_us + followers * self.follow_us) + 1e-6 * (self.pool_ns * elements + self.fc_ns * fc)


def kind_of(layer: Layer) -> str:
    """Which rate a layer has: "depthwise", "grouped", "pointwise" or "spatial"."""
    if layer.groups > 1:
        return "depthwise" if layer.groups == layer.c_in else "grouped"
    return "pointwise" if tuple(layer.kernel) == (1, 1) else "spatial"


def measured_targets() -> tuple[str, ...]:
    """Targets whose rates were measured."""
    return tuple(json.loads(_FILE.read_text(encoding="utf-8"))["targets"])


def rates_of(target: str) -> Rates:
    """The measured rates of a target; ConfigError if there are none."""
    rows = json.loads(_FILE.read_text(encoding="utf-8"))["targets"]
    if target not in rows:
        raise ConfigError(
            f"what a gate costs was not measured on target {target!r}, expected one of {', '.join(rows)}; gate all "
            "layers, name those to gate, or measure it with python -m benchmarks.kernels.gate_prices"
        )
    return Rates(**{key: value for key, value in rows[target].items() if key in Rates.__dataclass_fields__})


def not_worth(network: nn.Module, example_input: Tensor, target: str) -> dict[str, str]:
    """Layers of a gated network whose gate cannot pay on a target, and why, with those that follow them.

    Gates that have no saliency module cost nothing per sample, and pay. Raises ConfigError for an unknown target.
    """
    rates = rates_of(target)
    traced = trace(network, example_input[:1])
    rows = layer_table(traced)
    elements = {
        str(node.target): math.prod((shape_of(first_input(node)) or (1,))[1:])
        for node in traced.graph.nodes
        if node.op == "call_module" and isinstance(traced.get_submodule(str(node.target)), GatedLayer)
    }
    return left_out(rows, elements, rates, target)


def left_out(rows: Sequence[Layer], elements: Mapping[str, int], rates: Rates, target: str) -> dict[str, str]:
    """The same from a layer table and the sizes of the maps that gated layers read."""
    shares = {row.name: OPEN_SHARE for row in rows if row.gated}
    return {
        gate.layer: f"on {target} its gate costs {1e3 * gate.price_ms:.1f} us and saves {1e3 * gate.saved_ms:.1f} us "
        "with half of the channels open, by the model of sanp/cost/gate_rates.py"
        for gate in modelled_balance(rows, elements, rates, shares)
        if not gate.pays
    }


def modelled_balance(
    rows: Sequence[Layer], elements: Mapping[str, int], rates: Rates, open_shares: Mapping[str, float]
) -> list[GateBalance]:
    """What each gate with a saliency module costs and saves by the model, in the order of the table.

    elements: gated layer -> elements of the map that it reads; open_shares: gated layer -> share of open channels.
    """
    followers = {row.name: gates_of(row.follows) for row in rows if row.follows is not None}
    price = {
        row.name: rates.price_ms(row, elements[row.name], sum(row.name in leaders for leaders in followers.values()))
        for row in rows
        if row.has_saliency
    }
    return gate_balance(rows, open_shares, {row.name: rates.work_ms(row) for row in rows}, price)
