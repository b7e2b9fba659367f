"""`sanp validate`: a bundle against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Bundle
from sanp.cli.console import out, print_json, step, verdicts
from sanp.cli.verb import verb
from sanp.settings.validate import ValidateSettings
from sanp_runtime.validate.text import failed_levels, validation_lines
from sanp_targets.errors import ValidationError


@verb(ValidateSettings)
def validate(
    bundle: Bundle,
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="The checkpoint that the bundle came from.")],
    *,
    settings: ValidateSettings,
    as_json: bool,
) -> None:
    """Check kernels (L0), gate decisions (L1) and accuracy (L2) of a bundle against PyTorch; exit code 1 on a failure.

    Example: sanp validate model.sanp --checkpoint runs/digits/checkpoint.safetensors
    """
    from sanp.pipeline.validate import validate as run
    from sanp.pipeline.validate import validate_on_board

    if settings.remote.on_board:
        row = validate_on_board(bundle, checkpoint, settings, step)
    else:
        row = run(bundle, checkpoint, settings).to_json()
    if as_json:
        print_json(row)
    else:
        for line in validation_lines(row):
            out.print(verdicts(line))
    failed = failed_levels(row)
    if failed:
        raise ValidationError(
            f"{', '.join(failed)} failed for {bundle}, expected all levels to pass; the lines above name the first "
            "layer or sample that differs"
        )
