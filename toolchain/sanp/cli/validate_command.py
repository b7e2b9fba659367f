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

    Exit code 1 also if it is less accurate than in --baseline.

    Example: sanp validate model.sanp --checkpoint runs/digits/checkpoint.safetensors
    """
    from sanp.pipeline.regression import checks_of_validation, read_baseline, write_junit
    from sanp.pipeline.validate import validate as run
    from sanp.regression.check import require_passed

    before = read_baseline("validation", settings)
    result = run(bundle, checkpoint, settings)
    if as_json:
        print_json(result.to_json())
    else:
        for line in result.lines():
            out.print(verdicts(line))
    found = result.to_json()
    checks = checks_of_validation(found, before, settings)
    write_junit("validate", found, checks, settings.junit)
    failed = result.failed_levels()
    if failed:
        raise ValidationError(
            f"{', '.join(failed)} failed for {bundle}, expected all levels to pass; the lines above name the first "
            "layer or sample that differs"
        )
    if before is not None:
        if not as_json:
            out.print(f"baseline: {checks[-1].message}")
        require_passed(checks, settings.baseline)
