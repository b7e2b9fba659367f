"""`sanp profile`: measured latency of the dense, all-open and gated engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Bundle
from sanp.cli.console import out, print_json, table
from sanp.cli.verb import verb
from sanp.settings.profile import ProfileSettings
from sanp_targets.errors import MeasurementError


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

    Exit code 4 if the machine was too noisy or throttled for the numbers to be quoted.

    Example: sanp profile model.sanp --threads 1 --duration 20 -o profile.json
    """
    from sanp.pipeline.profile import headline, latency_rows, profile_bundle

    result = profile_bundle(bundle, settings, output)
    verdict, reasons = result["validity"]["verdict"], "; ".join(result["validity"]["reasons"])
    if as_json:
        print_json(result)
    else:
        columns = [("engine", "left"), *((name, "right") for name in ("p50 ms", "p90 ms", "p99 ms", "mean ms", "n"))]
        title = f"Latency, batch {settings.batch}, {settings.threads} thread(s)"
        out.print(table(title, columns, latency_rows(result)))
        out.print(headline(result))
        if result["tuning_note"]:
            out.print(result["tuning_note"])
        out.print(f"verdict: {verdict}  {reasons}")
    if verdict in ("NOISY", "THROTTLED") and not settings.allow_invalid:
        raise MeasurementError(
            f"the measurement is {verdict} ({reasons}), expected a quiet machine; "
            "stop other work and measure again, or pass --allow-invalid to accept it"
        )
