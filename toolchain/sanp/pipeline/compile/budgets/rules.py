"""How one number from 0 to 1 becomes a threshold for every gate; at 0 each rule leaves the network as trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

# More than the largest saliency: such a threshold closes a layer for every sample.
_ABOVE = 1.000001
# A layer may lose this many times the share of the layer that loses least.
_WIDEST = 1000.0

Rule = Callable[[float], dict[str, float]]


def rules_of(
    trained: Mapping[str, float], scales: Mapping[str, np.ndarray], gains: Mapping[str, float]
) -> dict[str, Rule]:
    """The rules for a network.

    trained: layer with a learned gate -> its threshold. scales: of the same layers, float32 [n, Co] on calibration
    samples, 0 = closed; of an open channel the scale is its saliency. gains: of the same layers, what a layer saves for
    what it does to the outputs, in any unit.

    `shift`: every threshold rises by the same amount, as at the end of training. `share`: every layer loses the same
    share of its open channels, the least salient ones of all samples; how large the saliencies of a layer are does not
    matter. `gain`: as `share`, but a layer loses in proportion to its gain.
    """
    opened = {name: np.sort(scales[name][scales[name] > 0]) for name in trained}
    largest = max((float(values[-1]) for values in opened.values() if len(values)), default=0.0) * _ABOVE
    least = max(min(gains.values()), np.finfo(np.float32).tiny)
    weights = {name: min(gain / least, _WIDEST) for name, gain in gains.items()}

    def shift(amount: float) -> dict[str, float]:
        return {name: float(np.float32(level + amount * largest)) for name, level in trained.items()}

    def share(amount: float) -> dict[str, float]:
        return {name: at_share(opened[name], amount, level) for name, level in trained.items()}

    def gain(amount: float) -> dict[str, float]:
        return {name: at_share(opened[name], amount * weights[name], level) for name, level in trained.items()}

    return {"gain": gain, "share": share, "shift": shift}


def at_share(opened: np.ndarray, share: float, level: float) -> float:
    """The threshold that closes this share of the sorted saliencies that are open at `level`; level itself for none.

    It lies between two of them, so that rounding decides as few as possible.
    """
    closed = round(min(share, 1.0) * len(opened))
    if not closed:
        return level
    above = opened[closed] if closed < len(opened) else opened[-1]
    return float(np.float32((float(opened[closed - 1]) + float(above)) / 2))
