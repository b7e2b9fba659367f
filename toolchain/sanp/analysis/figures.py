"""Pictures of how a gated network uses its channels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sanp.analysis.channel_use import Analysis
from sanp_targets.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(found: Analysis) -> dict[str, Figure]:
    """channels (bars per layer), samples (histogram), classes (heat map, where labels are classes).

    ConfigError without matplotlib.
    """
    made = {"channels": _channel_bars(found), "samples": _sample_histogram(found)}
    return {**made, "classes": _class_map(found)} if found.class_open else made


def save_figures(found: Analysis, folder: Path) -> list[Path]:
    """Write each figure as PNG; ConfigError if the folder cannot be written or matplotlib is missing."""
    paths = []
    for name, figure in figures(found).items():
        path = folder / f"{name}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=120)
        except OSError as error:
            raise ConfigError(f"cannot write {path} ({error.strerror}); choose another output folder") from error
        paths.append(path)
    return paths


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("figures need matplotlib, which is not installed; pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _channel_bars(found: Analysis) -> Figure:
    figure = _figure(max(5.0, 0.45 * len(found.layers) + 2), 3.6)
    axes, below = figure.subplots(), np.zeros(len(found.layers))
    for key, colour in (("always", "#3b6ea5"), ("sometimes", "#e0a030"), ("never", "#c9c9c9")):
        share = np.array([getattr(row, key) for row in found.layers])
        axes.bar(range(len(share)), share, bottom=below, color=colour, label=f"{key} open")
        below += share
    axes.set_xticks(range(len(below)), [row.name for row in found.layers], rotation=60, ha="right", fontsize=7)
    axes.set(ylabel="share of channels", ylim=(0, 1))
    axes.legend(ncols=3, fontsize=7, loc="lower right")
    return figure


def _sample_histogram(found: Analysis) -> Figure:
    figure = _figure(5, 3.2)
    axes = figure.subplots()
    axes.hist(found.open_share, bins=30, color="#3b6ea5", alpha=0.8, label="open channels")
    axes.hist(found.cost, bins=30, color="#e0a030", alpha=0.7, label="MACs")
    axes.set(xlabel="share of the dense network", ylabel="samples")
    axes.legend(fontsize=8)
    return figure


def _class_map(found: Analysis) -> Figure:
    table = np.concatenate(list(found.class_open.values()), axis=1)
    figure = _figure(9, 0.6 + 0.22 * len(table))
    axes = figure.subplots()
    shown = axes.imshow(table, aspect="auto", vmin=0, vmax=1, interpolation="nearest", cmap="viridis")
    edges = np.cumsum([mask.shape[1] for mask in found.class_open.values()])
    for edge in edges[:-1]:
        axes.axvline(edge - 0.5, color="white", linewidth=0.8)
    axes.set_yticks(range(len(table)), found.class_names, fontsize=7)
    axes.set_xlabel("channel, layer after layer")
    figure.colorbar(shown, ax=axes, label="share of samples open")
    return figure
