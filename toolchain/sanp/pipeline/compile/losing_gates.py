"""Gates that cost more than they save on the target, by the measured rates of `sanp.cost.gate_rates`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sanp.cost.gate_rates import OPEN_SHARE, measured_targets, modelled_balance, rates_of
from sanp.pipeline.compile.job import Job
from sanp_export.graph import model_file
from sanp_export.graph.patterns import GATE_X, channel_gates, layer_of


def losing_gates(job: Job) -> list[dict[str, Any]]:
    """A row for each losing gate: layer, price_ms, saved_ms (a sample, one thread), open_share.

    Shares of open channels are those of PyTorch's answers, or a half without answers. Empty where the rates of the
    target were not measured, or the size of a feature map is not known. Gates without a saliency module cost nothing.
    The rates are of single layers: a block that is one node counts as its three.
    """
    if job.target.name not in measured_targets():
        return []
    layers = job.described.layers
    sizes = {layer_of(node): node.inputs[GATE_X].shape for node in channel_gates(model_file.to_graph(job.model))}
    elements = {name: math.prod(shape[1:]) for name, shape in sizes.items() if shape and _known(shape[1:])}
    if any(layer.has_saliency and layer.name not in elements for layer in layers):
        return []
    scales = {} if job.answers is None else job.answers.scales
    shares = {
        layer.name: float((scales[layer.name] != 0).mean()) if layer.name in scales else OPEN_SHARE
        for layer in layers
        if layer.gated
    }
    found = modelled_balance(layers, elements, rates_of(job.target.name), shares)
    return [{**gate.to_json(), "open_share": shares[gate.layer]} for gate in found if not gate.pays]


def _known(sizes: Sequence[int | str]) -> bool:
    return all(isinstance(size, int) for size in sizes)


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines for people."""
    count = "1 gate costs" if len(rows) == 1 else f"{len(rows)} gates cost"
    return [
        f"{count} more time than {'it saves' if len(rows) == 1 else 'they save'} here, by measured rates:",
        *(
            f"  {row['layer']}: costs {1e3 * row['price_ms']:.1f} us, saves {1e3 * row['saved_ms']:.1f} us with "
            f"{row['open_share']:.0%} of its channels open"
            for row in rows
        ),
        "sanp profile measures them; training with --set layers=auto leaves them out.",
    ]
