"""`sanp profile`: measured latency of the dense, all-open and gated engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, print_json
from sanp.cli.options import Config, Json, Threads
from sanp.settings.base import ProfileSettings, resolve
from sanp_runtime.profile.text import profile_lines, require_valid


def profile(
    bundle: Annotated[Path, typer.Argument(help="Bundle written by `sanp compile`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the JSON, raw values included.")
    ] = None,
    config: Config = None,
    threads: Threads = None,
    batch: Annotated[int | None, typer.Option(help="Samples per call. [default: 1]")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of measurement. [default: 10]")] = None,
    allow_invalid: Annotated[
        bool | None, typer.Option("--allow-invalid", help="Exit 0 although the numbers must not be quoted.")
    ] = None,
    json_: Json = False,
) -> None:
    """Measure a bundle on its own real samples, beside the dense network and the gated one with every gate open.

    Exit code 4 if the machine was too noisy or throttled for the numbers to be quoted.

    Example: sanp profile model.sanp --threads 1 --duration 20 -o profile.json
    """
    from sanp.pipeline.profile import headline, profile_bundle

    flags = {"threads": threads, "batch": batch, "duration": duration, "allow_invalid": allow_invalid}
    settings = resolve(ProfileSettings, "profile", config, flags)
    result = profile_bundle(bundle, settings, output)
    if json_:
        print_json(result)
    else:
        for line in [headline(result), *profile_lines(result)]:
            out.print(line, markup=False)
    if not settings.allow_invalid:
        require_valid(result)
