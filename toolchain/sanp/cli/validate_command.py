"""`sanp validate`: a bundle against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, print_json
from sanp.cli.options import Config, DataRoot, Json, Threads
from sanp.settings.base import ValidateSettings, resolve
from sanp_targets.errors import ValidationError


def validate(
    bundle: Annotated[Path, typer.Argument(help="Bundle written by `sanp compile`.")],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="The checkpoint that the bundle came from.")],
    config: Config = None,
    limit: Annotated[int | None, typer.Option(help="Use this many test images instead of all.")] = None,
    threads: Threads = None,
    relative: Annotated[
        float | None, typer.Option(help="Least accuracy as a share of PyTorch's. [default: 0.99]")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option("--max-drop", help="Largest absolute loss of accuracy; 0.01 is one point.")
    ] = None,
    data_root: DataRoot = None,
    json_: Json = False,
) -> None:
    """Check kernels (L0), gate decisions (L1) and accuracy (L2) of a bundle against PyTorch; exit code 1 on a failure.

    Example: sanp validate model.sanp --checkpoint runs/digits/checkpoint.safetensors
    """
    from sanp.pipeline.validate import validate as run

    flags = {
        "limit": limit,
        "threads": threads,
        "relative": relative,
        "max_drop": max_drop,
        "data_root": data_root,
    }
    result = run(bundle, checkpoint, resolve(ValidateSettings, "validate", config, flags))
    if json_:
        print_json(result.to_json())
    else:
        for line in result.lines():
            out.print(line, markup=False)
    failed = result.failed_levels()
    if failed:
        raise ValidationError(
            f"{', '.join(failed)} failed for {bundle}, expected all levels to pass; the lines above name the first "
            "layer or sample that differs"
        )
