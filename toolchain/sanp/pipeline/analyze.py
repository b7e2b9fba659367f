"""`sanp analyze`: the use of channels over a checkpoint's own test split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sanp import checkpoint, data
from sanp.analysis.channel_use import Analysis, analyze
from sanp.analysis.figures import save_figures
from sanp.data.batch import Batch
from sanp.pipeline.export import test_rows
from sanp.pipeline.outputs import check_outputs
from sanp.settings.analyze import AnalyzeSettings
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.result_json import dumps

_BATCH = 256


def analyze_checkpoint(
    source: str | Path, folder: Path | None = None, settings: AnalyzeSettings | None = None, **keywords: Any
) -> tuple[Analysis, list[Path]]:
    """Analyse a checkpoint; with a folder, write the figures and analysis.json there. Returns the written paths.

    Settings are an object or its fields as keywords. Raises InputError for a damaged checkpoint, ConfigError for a
    folder that cannot be written or that holds an earlier analysis, unless `replace`.
    """
    chosen = AnalyzeSettings.chosen(settings, keywords)
    if folder is not None:
        check_outputs([folder / "analysis.json"], chosen.replace)
    loaded = checkpoint.load(source, chosen.model, chosen.model_args)
    split, rows = test_rows(loaded, chosen.limit, chosen.data_root)
    names = tuple(loaded.metadata.get("class_names", ()))
    analysis = analyze(loaded.model, _batches(split, rows), class_names=names)
    written: list[Path] = []
    if folder is not None:
        write_atomically(folder / "analysis.json", dumps(analysis.to_json()).encode())
        written = [folder / "analysis.json", *save_figures(analysis, folder)]
    return analysis, written


def _batches(split: data.Split | data.StreamedSplit, rows: np.ndarray) -> Iterator[Batch]:
    """Rows of a split, a few at a time."""
    modes = split.extra.get("mode") if isinstance(split, data.Split) else None
    for part in np.array_split(rows, max(1, -(-len(rows) // _BATCH))):
        images, labels = map(torch.from_numpy, split.take(part))
        yield Batch(images, labels, None if modes is None else torch.from_numpy(modes[part]))
