"""`sanp analyze`: which channels a trained network uses, and for which samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Checkpoint
from sanp.cli.console import out, print_json, table
from sanp.cli.verb import verb
from sanp.settings.analyze import AnalyzeSettings


@verb(AnalyzeSettings)
def analyze(
    checkpoint: Checkpoint,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the plots and analysis.json.")
    ] = None,
    *,
    settings: AnalyzeSettings,
    as_json: bool,
) -> None:
    """Count channels that are never, sometimes or always open, per layer, per sample and per class.

    Example: sanp analyze runs/digits/checkpoint.safetensors -o analysis
    """
    from sanp.pipeline.analyze import analyze_checkpoint

    analysis, written = analyze_checkpoint(checkpoint, output, settings)
    if as_json:
        print_json(analysis.to_json())
        return
    columns = [
        ("layer", "left"),
        ("channels", "right"),
        ("never", "right"),
        ("sometimes", "right"),
        ("always", "right"),
    ]
    rows = [
        [row.name, str(row.channels), f"{row.never:.0%}", f"{row.sometimes:.0%}", f"{row.always:.0%}"]
        for row in analysis.layers
    ]
    out.print(table(None, columns, rows))
    out.print(
        f"{analysis.open_share.mean():.1%} of the channels open, {analysis.cost.mean():.1%} of the dense MACs, "
        f"over {len(analysis.cost)} samples"
    )
    for path in written:
        out.print(str(path))
