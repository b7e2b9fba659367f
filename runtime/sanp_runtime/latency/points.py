"""Which masks a table is measured at: few of the many that a network may have, so that they tell layers apart."""

from __future__ import annotations

from typing import Dict, List, Sequence

import numpy as np

from sanp_runtime.network.layers import Layer

Masks = Dict[str, np.ndarray]
_SPREADS = (0.0, 0.15, 0.5)  # how far layers of one point lie from one another, as shares of their channels


def open_point(layers: Sequence[Layer]) -> Masks:
    """Every channel open: gated layer -> float32 [1, Co]."""
    return {row.name: np.ones((1, row.c_out), np.float32) for row in layers if row.gated}


def closed_point(layers: Sequence[Layer]) -> Masks:
    """The first channel of every layer open, and no other."""
    masks = {name: np.zeros_like(mask) for name, mask in open_point(layers).items()}
    for mask in masks.values():
        mask[0, 0] = 1.0
    return masks


def spread_points(layers: Sequence[Layer], count: int, seed: int = 0) -> List[Masks]:
    """`count` points, float32 [1, Co] by gated layer: all open, all but one channel closed, and random ones.

    Each random point has its own share of open channels, from which layers depart little or far. In half of them layers
    of one width open channels in the same order: additions then leave channels closed, as they do in trained networks.
    """
    rng = np.random.default_rng(seed)
    points = [open_point(layers), closed_point(layers)][:count]
    while len(points) < count:
        base, spread = rng.uniform(0.03, 1.0), _SPREADS[rng.integers(len(_SPREADS))]
        together = bool(rng.random() < 0.5)
        orders: Dict[int, np.ndarray] = {}
        point: Masks = {}
        for row in layers:
            if not row.gated:
                continue
            order = orders.setdefault(row.c_out, rng.permutation(row.c_out))
            order = order if together else rng.permutation(row.c_out)
            share = float(np.clip(base + spread * rng.standard_normal(), 0.0, 1.0))
            mask = np.zeros((1, row.c_out), np.float32)
            mask[0, order[: max(1, round(share * row.c_out))]] = 1.0
            point[row.name] = mask
        points.append(point)
    return points
