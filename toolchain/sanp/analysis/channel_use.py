"""How a gated network uses its channels: never, sometimes or always open, per sample and per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.gating.forward import forward
from sanp.tracing.trace import evaluation
from sanp_targets.errors import ConfigError, InputError


@dataclass(frozen=True)
class LayerUse:
    """One gated layer: shares of its channels (0 to 1) that are never, for some samples, or always open."""

    name: str
    channels: int
    never: float
    sometimes: float
    always: float
    mean_open: float


@dataclass(frozen=True)
class Analysis:
    """Channel use over one set of images (arXiv 1910.08906 figure 4, and figure 1 as `class_open`).

    open_share: share of open channels of the whole network, float32 [N]. cost: MACs as a share of dense, float64 [N].
    class_open: layer -> share of a class's samples for which a channel is open, float32 [classes, C].
    """

    layers: tuple[LayerUse, ...]
    open_share: np.ndarray
    cost: np.ndarray
    class_open: dict[str, np.ndarray]
    class_names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the table, percentiles of both distributions, a histogram, and the class means."""
        edges = np.linspace(0, 1, 41)
        return {
            "samples": len(self.open_share),
            "layers": [row.__dict__ for row in self.layers],
            "open_share": _summary(self.open_share),
            "open_share_histogram": {
                "edges": edges.tolist(),
                "counts": np.histogram(self.open_share, edges)[0].tolist(),
            },
            "cost": _summary(self.cost),
            "class_names": list(self.class_names),
            "class_open": {name: np.round(table, 4).tolist() for name, table in self.class_open.items()},
        }


def analyze(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    modes: np.ndarray | None = None,
    class_names: tuple[str, ...] = (),
    batch_size: int = 256,
) -> Analysis:
    """Run a gated network over normalised images, float32 [N, C, H, W], with labels int64 [N], and count.

    modes: int64 [N], for gates that are told them. A channel counts as never or always open only if no sample says
    otherwise. Masks are hard and noise-free.
    Raises InputError for no images or other shapes, ConfigError for a network without gates.
    """
    if images.ndim != 4 or len(images) == 0 or labels.shape != (len(images),):
        raise InputError(
            f"images have shape {images.shape} and labels {labels.shape}, expected [N, C, H, W] with N of at least 1 "
            "and [N]; pass the images and labels of one split"
        )
    device = next(model.parameters()).device
    tracker = CostTracker(model, torch.from_numpy(images[:1]).to(device))
    parts: dict[str, list[np.ndarray]] = {row.name: [] for row in tracker.layers if row.gated}
    if not parts and tracker.masks():
        raise ConfigError(
            "the network decides for every pixel and has no channel gates, expected at least one; its cost is in "
            "result.json and metrics.jsonl of the run"
        )
    if not parts:
        raise ConfigError("the network has no gated layer, expected at least one; analyze a gated checkpoint")
    costs: list[np.ndarray] = []
    with evaluation(model):
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            told = None if modes is None else torch.from_numpy(modes[rows]).to(device)
            x, y = (torch.from_numpy(array[rows]).to(device) for array in (images, labels))
            forward(model, Batch(x, y, told))
            costs.append(tracker.shares().cpu().numpy())
            for name, mask in tracker.masks().items():
                parts[name].append(mask.cpu().numpy().astype(np.uint8))
    masks = {name: np.concatenate(found) for name, found in parts.items()}
    names = class_names or tuple(str(label) for label in range(int(labels.max()) + 1))
    total = sum(mask.shape[1] for mask in masks.values())
    return Analysis(
        layers=tuple(_layer_use(name, mask) for name, mask in masks.items()),
        open_share=(sum(mask.sum(1, dtype=np.int64) for mask in masks.values()) / total).astype(np.float32),
        cost=np.concatenate(costs),
        class_open={name: _per_class(mask, labels, len(names)) for name, mask in masks.items()},
        class_names=names,
    )


def _layer_use(name: str, mask: np.ndarray) -> LayerUse:
    opened = mask.sum(0, dtype=np.int64)
    never, always = float((opened == 0).mean()), float((opened == len(mask)).mean())
    return LayerUse(name, mask.shape[1], never, 1.0 - never - always, always, float(mask.mean()))


def _per_class(mask: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Mean mask per class, float32 [classes, C]; zero for a class without samples."""
    sums = np.zeros((classes, mask.shape[1]))
    np.add.at(sums, labels, mask)
    return (sums / np.maximum(np.bincount(labels, minlength=classes), 1)[:, None]).astype(np.float32)


def _summary(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {"mean": float(values.mean()), "p5": float(low), "p50": float(middle), "p95": float(high)}
