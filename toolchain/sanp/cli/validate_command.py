"""`sanp validate`: a bundle against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Bundle
from sanp.cli.console import out, print_json, verdicts
from sanp.cli.verb import verb
from sanp.settings.validate import ValidateSettings
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

    result = run(bundle, checkpoint, settings)
    if as_json:
        print_json(result.to_json())
    else:
        for line in result.lines():
            out.print(verdicts(line))
    failed = result.failed_levels()
    if failed:
        raise ValidationError(
            f"{', '.join(failed)} failed for {bundle}, expected all levels to pass; the lines above name the first "
            "layer or sample that differs"
        )
