"""`sanp profile`: measured latency of the dense, all-open and gated engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Bundle
from sanp.cli.console import out, print_json, step
from sanp.cli.verb import verb
from sanp.settings.profile import ProfileSettings
from sanp_runtime.latency.text import prediction_lines, table_lines
from sanp_runtime.profile.text import profile_lines, require_valid
from sanp_targets.errors import ConfigError


@verb(ProfileSettings)
def profile(
    bundle: Bundle,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the JSON, raw values included.")
    ] = None,
    *,
    settings: ProfileSettings,
    as_json: bool,
) -> None:
    """Measure a bundle on its own real samples, beside the dense network and the gated one with every gate open.

    A network without gates is measured beside the one that channels were removed from.

    With --table it measures how long each layer takes by its open channels, which `sanp train --budget-latency` trains
    for; with --predicted-by it holds such a table against what it measures.

    Exit code 4 if the machine was too noisy or throttled for the numbers to be quoted, 1 if the network became slower
    than in --baseline.

    Example: sanp profile model.sanp --threads 1 --duration 20 -o profile.json

    Example: sanp profile model.sanp --baseline profile.json --max-regression 5% --junit profile.xml
    """
    from sanp.pipeline.profile import headline, profile_bundle
    from sanp.pipeline.regression import checks_of_profile, read_baseline, write_junit
    from sanp.regression.check import require_passed

    if settings.table is not None:
        _table(bundle, output, settings, as_json)
        return
    before = read_baseline("profile", settings)
    result = profile_bundle(bundle, settings, output, step)
    if as_json:
        print_json(result)
    else:
        for line in [headline(result), *profile_lines(result), *prediction_lines(result)]:
            out.print(line)
    checks = checks_of_profile(result, before, settings)
    write_junit("profile", result, checks, settings.junit)
    if not settings.allow_invalid:
        require_valid(result)
    if before is not None:
        if not as_json:
            out.print(f"baseline: {checks[-1].message}")
        require_passed(checks, settings.baseline)


def _table(bundle: Path, output: Path | None, settings: ProfileSettings, as_json: bool) -> None:
    from sanp.pipeline.latency import measure_latency_table

    if output is not None:
        raise ConfigError(
            f"--output is {output} beside --table, expected one of them: with --table no profile is made; leave it out"
        )
    result = measure_latency_table(bundle, settings, step).to_json()
    if as_json:
        print_json(result)
    else:
        out.print(str(settings.table))
        for line in table_lines(result):
            out.print(line)
    if not settings.allow_invalid:
        require_valid(result)
