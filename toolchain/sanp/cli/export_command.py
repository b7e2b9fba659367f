"""`sanp export`: checkpoint to gated ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, print_json
from sanp.cli.options import Config, DataRoot, Json
from sanp.settings.base import ExportSettings, resolve


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint written by `sanp train`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    config: Config = None,
    gates: Annotated[
        str | None, typer.Option(help="learned: the network decides; mask: the mask inputs alone decide.")
    ] = None,
    macs: Annotated[bool | None, typer.Option("--macs/--no-macs", help="Add the output macs [N].")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Test images whose PyTorch answers are kept beside the model. [default: 64]")
    ] = None,
    data_root: DataRoot = None,
    json_: Json = False,
) -> None:
    """Export a checkpoint to one ONNX file that runs in any ONNX runtime and skips in ours.

    Example: sanp export runs/digits/checkpoint.safetensors -o model.onnx
    """
    from sanp.pipeline.export import export as run

    flags = {"gates": gates, "macs": macs, "samples": samples, "data_root": data_root}
    settings = resolve(ExportSettings, "export", config, flags)
    result = run(
        checkpoint,
        output,
        gates=settings.gates,
        macs=settings.macs,
        samples=settings.samples,
        data_root=settings.data_root,
    )
    gated = [layer.name for layer in result.layers if layer.gated]
    if json_:
        reference = str(result.reference) if result.reference else None
        print_json({"model": str(result.path), "reference": reference, "gated": gated, "dense_macs": result.dense_macs})
        return
    out.print(f"{result.path}: {len(gated)} gated layers, {result.dense_macs:,} dense MACs")
    if result.reference is not None:
        out.print(f"{result.reference}: PyTorch's answers, for the bundle's self-test")
