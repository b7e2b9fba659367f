"""`sanp analyze`: the use of channels over a checkpoint's own test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanp import checkpoint
from sanp.analysis.channel_use import Analysis, analyze
from sanp.analysis.figures import save_figures
from sanp.pipeline.export import test_rows
from sanp.pipeline.outputs import check_outputs
from sanp.settings.analyze import AnalyzeSettings
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.result_json import dumps


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
    modes = split.extra["mode"][rows] if "mode" in split.extra else None
    names = tuple(loaded.metadata.get("class_names", ()))
    analysis = analyze(loaded.model, split.images[rows], split.labels[rows], modes=modes, class_names=names)
    written: list[Path] = []
    if folder is not None:
        write_atomically(folder / "analysis.json", dumps(analysis.to_json()).encode())
        written = [folder / "analysis.json", *save_figures(analysis, folder)]
    return analysis, written
