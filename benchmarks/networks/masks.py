"""Random masks, what they leave of the multiply-adds, and the kept fraction that reaches a given cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.networks.shapes import OPERATING_POINTS, Conv, Network
from benchmarks.networks.steps import step_support


def random_mask(channels: int, keep: float, rng: np.random.Generator) -> np.ndarray:
    """[1, channels] of ones and zeros with round(keep * channels) ones, at least one."""
    mask = np.zeros((1, channels), np.float32)
    mask[0, rng.permutation(channels)[: max(1, round(keep * channels))]] = 1
    return mask


def _followed(network: Network, mask_of: Callable[[Conv], np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each convolution: its mask, that of `mask_of` or of the one that it follows, and the input channels that can be
    non-zero. An addition takes the union of its inputs."""
    masks: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    support = {"x": np.ones((1, network.channels), np.float32)}
    for name, node in network.nodes.items():
        if not isinstance(node, Conv):
            support[name] = step_support(node, support)
            continue
        scale = mask_of(node) if node.mask in ("own", "open") else masks[node.mask][0]
        masks[name] = scale, support[node.source]
        support[name] = np.maximum(scale, support[node.residual]) if node.residual else scale
    return masks


def network_masks(network: Network, keep: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random gates for one sample, and the channels that can be non-zero, as the inputs of a gated network."""
    feeds: dict[str, np.ndarray] = {}
    found = _followed(network, lambda conv: random_mask(conv.layer.c_out, keep if conv.mask == "own" else 1.0, rng))
    for name, (scale, active) in found.items():
        feeds |= {f"{name}.scale": scale, f"{name}.shift": np.zeros_like(scale), f"{name}.active": active}
    return feeds


def never_gated(network: Network) -> set[str]:
    """Convolutions without a gate that read channels without one: what stays open when every gate is closed."""
    found = _followed(network, lambda conv: np.full((1, conv.layer.c_out), float(conv.mask == "open"), np.float32))
    return {name for name, (scale, active) in found.items() if scale.all() and active.all()}


def network_cost(network: Network, masks: dict[str, np.ndarray]) -> float:
    """Kept multiply-adds over dense ones."""
    kept = 0.0
    for name, conv in network.convs.items():
        scale, active = masks[f"{name}.scale"], masks[f"{name}.active"]
        groups = conv.layer.group  # the mean over groups of what both sides of a group leave
        kept += conv.layer.macs * float(np.mean(scale.reshape(groups, -1).mean(1) * active.reshape(groups, -1).mean(1)))
    return kept / network.macs


def kept_fraction(name: str, network: Network) -> float:
    """The share of gated channels that a comparison keeps: what brings the cost to the paper's, elsewhere a half."""
    return keep_for_cost(network, OPERATING_POINTS[name]) if name in OPERATING_POINTS else 0.5


def keep_for_cost(network: Network, cost: float) -> float:
    """The largest kept fraction of every layer at which random masks stay below `cost`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        rng = np.random.default_rng(0)
        reached = np.mean([network_cost(network, network_masks(network, middle, rng)) for _ in range(4)])
        low, high = (middle, high) if reached < cost else (low, middle)
    return low
