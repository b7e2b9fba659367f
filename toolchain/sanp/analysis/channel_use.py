"""How a gated network uses its channels: never, sometimes or always open, per sample and per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sanp.cost.tracker import CostTracker
from sanp.tracing.trace import evaluation
from sanp_targets.errors import ConfigError, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

    def figures(self) -> dict[str, Figure]:
        """channels (bars per layer), samples (histogram), classes (heat map); ConfigError without matplotlib."""
        return {"channels": _channel_bars(self), "samples": _sample_histogram(self), "classes": _class_map(self)}


def analyze(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    class_names: tuple[str, ...] = (),
    batch_size: int = 256,
) -> Analysis:
    """Run a gated network over normalised images, float32 [N, C, H, W], with labels int64 [N], and count.

    A channel counts as never or always open only if no sample says otherwise. Codes are hard and noise-free.
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
    if not parts:
        raise ConfigError("the network has no gated layer, expected at least one; analyze a gated checkpoint")
    costs: list[np.ndarray] = []
    with evaluation(model):
        for start in range(0, len(images), batch_size):
            model(torch.from_numpy(images[start : start + batch_size]).to(device))
            costs.append((tracker.sample_macs() / tracker.dense_macs).cpu().numpy())
            for name, code in tracker.codes().items():
                parts[name].append(code.cpu().numpy().astype(np.uint8))
    codes = {name: np.concatenate(rows) for name, rows in parts.items()}
    names = class_names or tuple(str(label) for label in range(int(labels.max()) + 1))
    total = sum(code.shape[1] for code in codes.values())
    return Analysis(
        layers=tuple(_layer_use(name, code) for name, code in codes.items()),
        open_share=(sum(code.sum(1, dtype=np.int64) for code in codes.values()) / total).astype(np.float32),
        cost=np.concatenate(costs),
        class_open={name: _per_class(code, labels, len(names)) for name, code in codes.items()},
        class_names=names,
    )


def save_figures(analysis: Analysis, folder: Path) -> list[Path]:
    """Write each figure as PNG; ConfigError if the folder cannot be written or matplotlib is missing."""
    paths = []
    for name, figure in analysis.figures().items():
        path = folder / f"{name}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=120)
        except OSError as error:
            raise ConfigError(f"cannot write {path} ({error.strerror}); choose another output folder") from error
        paths.append(path)
    return paths


def _layer_use(name: str, code: np.ndarray) -> LayerUse:
    opened = code.sum(0, dtype=np.int64)
    never, always = float((opened == 0).mean()), float((opened == len(code)).mean())
    return LayerUse(name, code.shape[1], never, 1.0 - never - always, always, float(code.mean()))


def _per_class(code: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Mean code per class, float32 [classes, C]; zero for a class without samples."""
    sums = np.zeros((classes, code.shape[1]))
    np.add.at(sums, labels, code)
    return (sums / np.maximum(np.bincount(labels, minlength=classes), 1)[:, None]).astype(np.float32)


def _summary(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {"mean": float(values.mean()), "p5": float(low), "p50": float(middle), "p95": float(high)}


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("figures need matplotlib, which is not installed; pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _channel_bars(analysis: Analysis) -> Figure:
    figure = _figure(max(5.0, 0.45 * len(analysis.layers) + 2), 3.6)
    axes, below = figure.subplots(), np.zeros(len(analysis.layers))
    for key, colour in (("always", "#3b6ea5"), ("sometimes", "#e0a030"), ("never", "#c9c9c9")):
        share = np.array([getattr(row, key) for row in analysis.layers])
        axes.bar(range(len(share)), share, bottom=below, color=colour, label=f"{key} open")
        below += share
    axes.set_xticks(range(len(below)), [row.name for row in analysis.layers], rotation=60, ha="right", fontsize=7)
    axes.set(ylabel="share of channels", ylim=(0, 1))
    axes.legend(ncols=3, fontsize=7, loc="lower right")
    return figure


def _sample_histogram(analysis: Analysis) -> Figure:
    figure = _figure(5, 3.2)
    axes = figure.subplots()
    axes.hist(analysis.open_share, bins=30, color="#3b6ea5", alpha=0.8, label="open channels")
    axes.hist(analysis.cost, bins=30, color="#e0a030", alpha=0.7, label="MACs")
    axes.set(xlabel="share of the dense network", ylabel="samples")
    axes.legend(fontsize=8)
    return figure


def _class_map(analysis: Analysis) -> Figure:
    table = np.concatenate(list(analysis.class_open.values()), axis=1)
    figure = _figure(9, 0.6 + 0.22 * len(table))
    axes = figure.subplots()
    shown = axes.imshow(table, aspect="auto", vmin=0, vmax=1, interpolation="nearest", cmap="viridis")
    edges = np.cumsum([code.shape[1] for code in analysis.class_open.values()])
    for edge in edges[:-1]:
        axes.axvline(edge - 0.5, color="white", linewidth=0.8)
    axes.set_yticks(range(len(table)), analysis.class_names, fontsize=7)
    axes.set_xlabel("channel, layer after layer")
    figure.colorbar(shown, ax=axes, label="share of samples open")
    return figure
