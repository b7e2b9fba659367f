"""How many channels each layer keeps so that whole channels come as near to a budget as they can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sanp.cost.calibration import density_for
from sanp.cost.tracker import CostTracker


@dataclass(frozen=True)
class ChannelPlan:
    """density: the share of channels that would meet the budget if channels could be divided. channels: layer -> k."""

    density: float
    channels: Mapping[str, int]


def plan_channels(tracker: CostTracker, budget: float) -> ChannelPlan:
    """The plan whose expected cost is at most `budget`, a share of the dense cost, and nearest to it.

    Every layer wants density * C_out channels and gets the whole part of it, at least 1. Then the layers whose rounding
    lost most (ties: first in the network) get one channel more, each if the budget allows it. A narrow layer has few
    densities of its own; all layers rounded the same way miss a budget by points.
    The budget must not be below the cost of one channel per layer: then the plan is one channel per layer.
    """
    widths = tracker.widths()

    def cost(channels: Mapping[str, float]) -> float:
        return tracker.expected({name: channels[name] / width for name, width in widths.items()})

    def wanted(density: float) -> dict[str, float]:
        return {name: max(1.0, density * width) for name, width in widths.items()}

    density = density_for(lambda density: cost(wanted(density)), budget)
    share = wanted(density)
    channels = {name: math.floor(value) for name, value in share.items()}
    for name in sorted(widths, key=lambda name: channels[name] - share[name]):
        more = {**channels, name: channels[name] + 1}
        if more[name] <= widths[name] and cost(more) <= budget + 1e-12:
            channels = more
    return ChannelPlan(density, channels)
