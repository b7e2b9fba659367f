"""Networks with fewer channels: all of them thinner, or only those that gates decide about."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from benchmarks.networks.shapes import Conv, Layer, Network

_WIDTHS = np.arange(0.05, 1.0, 0.001)


def thinner(network: Network, width: float) -> Network:
    """Every layer with `width` times the channels, at least one for each channel of a group."""
    step = _whole_groups(network)
    return _resized(network, lambda channels: max(step, round(channels * width / step) * step), set(_first(network)))


def narrowed(network: Network, cost: float, multiple: int) -> Network:
    """The network whose gated layers are all narrowed by one factor, to multiples of `multiple` channels.

    With a layer goes everything whose channels are the same: what follows its decision, is added or multiplied to it.
    Layers without gates keep their channels. The factor is the one whose multiply-adds come closest to `cost` times
    those of `network`.
    """
    first = _first(network)
    gated = {first[name] for name, conv in network.convs.items() if conv.mask == "own"}
    step = math.lcm(multiple, _whole_groups(network))

    def at(width: float) -> Network:
        return _resized(network, lambda channels: max(step, int(channels * width / step + 0.5) * step), gated)

    return at(min(_WIDTHS, key=lambda width: abs(at(width).macs / network.macs - cost)))


def _is_depthwise(layer: Layer) -> bool:
    return 1 < layer.group == layer.c_in == layer.c_out


def _whole_groups(network: Network) -> int:
    """The number that divides every width at which each group keeps its channels."""
    layers = [conv.layer for conv in network.convs.values() if conv.layer.group > 1 and not _is_depthwise(conv.layer)]
    return math.lcm(1, *(layer.c_out // layer.group for layer in layers), *(x.c_in // x.group for x in layers))


def _first(network: Network) -> dict[str, str]:
    """For every tensor the first one that must have its number of channels, because they are the same channels."""
    first = {"x": "x"}
    for name, node in network.nodes.items():
        first[name] = name
        if isinstance(node, Conv):
            same = [node.source] if _is_depthwise(node.layer) else []
            same += [node.residual] if node.residual else []
        else:
            operator, source, *more = node
            same = [] if operator in ("Slice", "Concat") else [source, *(more if operator == "Mul" else [])]
        for other in same:
            first = {key: first[other] if value == first[name] else value for key, value in first.items()}
    return first


def _resized(network: Network, resize: Callable[[int], int], chosen: set[str]) -> Network:
    """A copy in which `resize` gives the channels of convolutions whose first tensor (see `_first`) is chosen."""
    result, first = Network(network.size), _first(network)
    before, after = {"x": 3}, {"x": 3}
    for name, node in network.nodes.items():
        if isinstance(node, Conv):
            layer, c_in = node.layer, after[node.source]
            before[name] = layer.c_out
            after[name] = resize(layer.c_out) if first[name] in chosen - {"x"} else layer.c_out
            group = c_in // (layer.c_in // layer.group)
            made = dataclasses.replace(layer, c_in=c_in, c_out=after[name], group=group if layer.group > 1 else 1)
            result.nodes[name] = dataclasses.replace(node, layer=made)
            continue
        operator, source, *more = node
        if operator == "Slice":  # the same share of what there is
            ends = [end * after[source] // before[source] for end in more]
            result.nodes[name] = (operator, source, *ends)
            before[name], after[name] = more[1] - more[0], ends[1] - ends[0]
            continue
        result.nodes[name] = node
        parts = [source, *more] if operator == "Concat" else [source]
        before[name], after[name] = (sum(widths[part] for part in parts) for widths in (before, after))
    return result
