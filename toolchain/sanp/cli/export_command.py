"""`sanp export`: checkpoint to gated ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Checkpoint
from sanp.cli.console import out, print_json
from sanp.cli.verb import verb
from sanp.settings.export import ExportSettings


@verb(ExportSettings)
def export(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    *,
    settings: ExportSettings,
    as_json: bool,
) -> None:
    """Export a checkpoint to one ONNX file that plain ONNX Runtime runs and, if it has gates, our kernels skip in.

    Example: sanp export runs/digits/checkpoint.safetensors -o model.onnx
    """
    from sanp.pipeline.export import export as run

    result = run(checkpoint, output, settings)
    gated = [layer.name for layer in result.layers if layer.gated]
    if as_json:
        reference = str(result.reference) if result.reference else None
        parent = str(result.parent) if result.parent else None
        row = {"model": str(result.path), "reference": reference, "parent": parent, "gated": gated}
        print_json({**row, "pixel_gated": result.pixel_gated, "dense_macs": result.dense_macs})
        return
    pixels = f", {result.pixel_gated} layers with gated pixels" if result.pixel_gated else ""
    out.print(f"{result.path}: {len(gated)} gated layers{pixels}, {result.dense_macs:,} dense MACs")
    if result.reference is not None:
        out.print(f"{result.reference}: PyTorch's answers, for the bundle's self-test")
    if result.parent is not None:
        out.print(f"{result.parent}: the network before channels were removed, to be measured beside it")
