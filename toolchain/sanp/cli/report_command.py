"""`sanp report`: results to one HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.console import out, print_json
from sanp.cli.options import Json
from sanp_targets.errors import InputError


def report(
    bundle: Annotated[Path, typer.Argument(help="Bundle written by `sanp compile`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.html and report.json.")],
    profile: Annotated[
        Path | None, typer.Option(help="JSON written by `sanp profile -o`; measured now if absent.")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="JSON printed by `sanp validate --json`.")] = None,
    training: Annotated[Path | None, typer.Option(help="JSON printed by `sanp train --json`.")] = None,
    json_: Json = False,
) -> None:
    """Write report.html (one self-contained page) and report.json (the same numbers, raw values included).

    Example: sanp report model.sanp --profile profile.json --validation validation.json -o report
    """
    from sanp.pipeline.profile import profile_bundle
    from sanp.report import write_report
    from sanp.settings.base import ProfileSettings
    from sanp_runtime.bundle.reader import open_bundle

    opened = open_bundle(bundle)
    results = {
        "training": _read(training),
        "validation": _read(validation),
        "profile": _read(profile) or profile_bundle(bundle, ProfileSettings()),
        "bundle": opened.manifest.to_json(),
    }
    page = write_report(results, output)
    if json_:
        print_json({"html": str(page), "json": str(page.with_suffix(".json"))})
    else:
        out.print(f"{page}")


def _read(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a result file") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error}); write it again with --json or -o") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a result object; write it again")
    return content
