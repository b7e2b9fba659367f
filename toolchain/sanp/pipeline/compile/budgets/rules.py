"""How one number, from 0 to 1, becomes a threshold for every gate; each rule begins at the network as trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

# Of the widest saliency: a threshold just above closes a layer for every sample.
_ABOVE = 1.000001

Rule = Callable[[float], dict[str, float]]


def rules_of(trained: Mapping[str, float], scales: Mapping[str, np.ndarray]) -> dict[str, Rule]:
    """The rules for a network.

    trained: layer with a learned gate -> its threshold. scales: of the same layers, float32 [n, Co] on calibration
    samples, 0 = closed; of an open channel the scale is its saliency.

    `quantile`: every layer loses the same share of its open channels, the least salient ones of all samples. It does
    not depend on how large the saliencies of a layer are. `shift`: every threshold rises by the same amount, which is
    what calibration does at the end of training.
    """
    opened = {name: np.sort(scales[name][scales[name] > 0]) for name in trained}
    largest = max((float(values[-1]) for values in opened.values() if len(values)), default=0.0) * _ABOVE

    def quantile(share: float) -> dict[str, float]:
        return {name: _at_share(opened[name], share, level) for name, level in trained.items()}

    def shift(share: float) -> dict[str, float]:
        return {name: float(np.float32(level + share * largest)) for name, level in trained.items()}

    return {"quantile": quantile, "shift": shift}


def _at_share(opened: np.ndarray, share: float, level: float) -> float:
    """The threshold that closes this share of what is open: exactly the trained one for 0."""
    closed = round(share * len(opened))
    if not closed:
        return level
    return float(max(np.float32(level), np.float32(opened[closed - 1])))
