"""`sanp report`: results to one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.arguments import Bundle
from sanp.cli.console import out, print_json
from sanp.cli.verb import verb
from sanp.settings.report import ReportSettings


@verb(ReportSettings)
def report(
    bundle: Bundle,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.html and report.json.")],
    *,
    settings: ReportSettings,
    as_json: bool,
) -> None:
    """Write report.html (one self-contained page) and report.json (the same numbers, raw values included).

    Example: sanp report model.sanp --profile profile.json --validation validation.json -o report
    """
    from sanp.pipeline.report import report_bundle

    page = report_bundle(bundle, output, settings)
    if as_json:
        print_json({"html": str(page), "json": str(page.with_suffix(".json"))})
    else:
        out.print(str(page))
