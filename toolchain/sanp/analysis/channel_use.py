"""How a gated network uses its channels: never, sometimes or always open, per sample and per class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

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
    class_open: layer -> share of a class's samples for which a channel is open, float32 [classes, C]; empty where
    labels are no classes.
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


def analyze(model: nn.Module, batches: Iterable[Batch], *, class_names: tuple[str, ...] = ()) -> Analysis:
    """Run a gated network over batches of normalised images, and count. Memory is bounded whatever their number.

    A channel counts as never or always open only if no sample says otherwise. Masks are hard and noise-free. Labels are
    classes, int64 [N], for the tables per class; with other labels these are empty.
    Raises InputError for no images or other shapes, ConfigError for a network without gates.
    """
    use: _Use | None = None
    device = next(model.parameters()).device
    for batch in batches:
        if batch.images.dim() != 4 or not len(batch):
            raise InputError(
                f"images have shape {tuple(batch.images.shape)}, expected [N, C, H, W] with N of at least 1; pass the "
                "images of one split in batches"
            )
        found = batch.to(device)
        use = use or _Use(model, found.images[:1], class_names)
        with evaluation(model):
            use.add(found)
    if use is None:
        raise InputError("there are no images to analyze, expected at least one batch; pass those of one split")
    return use.result()


class _Use:
    """Sums over samples: how often each channel is open, in all and per class, and two numbers per sample."""

    def __init__(self, model: nn.Module, example_input: Tensor, class_names: tuple[str, ...]) -> None:
        self.model, self.names = model, class_names
        self.tracker = CostTracker(model, example_input)
        gated = [row.name for row in self.tracker.layers if row.gated]
        if not gated and self.tracker.masks():
            raise ConfigError(
                "the network decides for every pixel and has no channel gates, expected at least one; its cost is in "
                "result.json and metrics.jsonl of the run"
            )
        if not gated:
            raise ConfigError("the network has no gated layer, expected at least one; analyze a gated checkpoint")
        self.opened = {name: np.zeros(0, np.int64) for name in gated}
        self.of_class = {name: np.zeros((0, 0), np.int64) for name in gated}
        self.counts = np.zeros(len(class_names), np.int64)
        self.shares: list[np.ndarray] = []
        self.costs: list[np.ndarray] = []
        self.samples = 0

    def add(self, batch: Batch) -> None:
        """Take in a batch on the device of the network."""
        forward(self.model, batch)
        self.costs.append(self.tracker.shares().expand(len(batch)).cpu().numpy())
        labels = _classes(batch.labels, len(batch))
        if labels is not None:
            self.counts = _sum(self.counts, np.bincount(labels))
        masks = {name: mask.cpu().numpy().astype(np.int64) for name, mask in self.tracker.masks().items()}
        for name, mask in masks.items():
            self.opened[name] = _sum(self.opened[name], mask.sum(0))
            if labels is not None:
                sums = np.zeros((int(labels.max()) + 1, mask.shape[1]), np.int64)
                np.add.at(sums, labels, mask)
                self.of_class[name] = _sum(self.of_class[name], sums)
        width = sum(mask.shape[1] for mask in masks.values())
        self.shares.append((sum(mask.sum(1) for mask in masks.values()) / width).astype(np.float32))
        self.samples += len(batch)

    def result(self) -> Analysis:
        """The analysis of what was added."""
        known = bool(self.counts.sum())
        tables = {}
        if known:
            per_class = np.maximum(self.counts, 1)[:, None]
            for name, table in self.of_class.items():
                rows = _sum(np.zeros((len(self.counts), table.shape[1]), np.int64), table)
                tables[name] = (rows / per_class).astype(np.float32)
        names = self.names or tuple(str(label) for label in range(len(self.counts)))
        return Analysis(
            layers=tuple(_layer_use(name, opened, self.samples) for name, opened in self.opened.items()),
            open_share=np.concatenate(self.shares),
            cost=np.concatenate(self.costs),
            class_open=tables,
            class_names=names if known else (),
        )


def _classes(labels: Any, count: int) -> np.ndarray | None:
    """Labels int64 [N] on the host, None for what are no classes."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (count,):
        return None
    return labels.cpu().numpy()


def _sum(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of two tables of counts, as large as the larger one."""
    shape = tuple(max(sizes) for sizes in zip(one.shape, other.shape))
    total = np.zeros(shape, np.int64)
    for table in (one, other):
        total[tuple(slice(size) for size in table.shape)] += table
    return total


def _layer_use(name: str, opened: np.ndarray, samples: int) -> LayerUse:
    never, always = float((opened == 0).mean()), float((opened == samples).mean())
    return LayerUse(name, len(opened), never, 1.0 - never - always, always, float(opened.mean() / samples))


def _summary(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {"mean": float(values.mean()), "p5": float(low), "p50": float(middle), "p95": float(high)}
