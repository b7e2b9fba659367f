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

    Exit code 1 also if it is less accurate than in --baseline.

    Example: sanp validate model.sanp --checkpoint runs/digits/checkpoint.safetensors
    """
    from sanp.pipeline.regression import checks_of_validation, read_baseline, write_junit
    from sanp.pipeline.validate import validate as run
    from sanp.pipeline.validate import validate_on_board
    from sanp.regression.check import require_passed

    before = read_baseline("validation", settings)
    if settings.remote.on_board:
        row = validate_on_board(bundle, checkpoint, settings, step)
    else:
        row = run(bundle, checkpoint, settings).to_json()
    if as_json:
        print_json(row)
    else:
        for line in validation_lines(row):
            out.print(verdicts(line))
    checks = checks_of_validation(row, before, settings)
    write_junit("validate", row, checks, settings.junit)
    failed = failed_levels(row)
    if failed:
        raise ValidationError(
            f"{', '.join(failed)} failed for {bundle}, expected all levels to pass; the lines above name the first "
            "layer or sample that differs"
        )
    if before is not None:
        if not as_json:
            out.print(f"baseline: {checks[-1].message}")
        require_passed(checks, settings.baseline)
