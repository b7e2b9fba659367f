"""Write report.json, which is the truth, and what is derived from it: report.html and CSV files of its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanp.report.checks import check_results
from sanp.report.page import render
from sanp.report.tables import LAYERS, SAMPLES, VARIANTS, tables
from sanp_runtime.bundle.files import write_atomically
from sanp_targets.errors import InputError

PAGE, DATA = "report.html", "report.json"
FILES = (PAGE, DATA, VARIANTS, LAYERS, SAMPLES)


def write_report(results: Mapping[str, Any], folder: str | Path) -> Path:
    """Write the files into `folder` and return the path of the page.

    results: {"profile": result of `sanp profile`, "bundle": manifest, "validation": ... or None, "training": ... or
    None, "int8": {"profile", "bundle", "validation"} of the int8 bundle of the same network, if there is one}. The page
    is one file: no script, no font, nothing that has to be fetched. Raises InputError for results of another schema or
    with a field missing, ConfigError if the folder cannot be written or Jinja2 is not installed.
    """
    content = {key: results.get(key) for key in ("training", "validation", "profile", "bundle")}
    if results.get("int8") is not None:
        content["int8"] = results["int8"]
    check_results(content)
    try:
        data = json.dumps(content, indent=1, allow_nan=False)
        page = render(content)
        sheets = tables(results["profile"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"the results cannot be shown ({type(error).__name__}: {error}), expected those of one version of the "
            "toolchain; measure and validate again"
        ) from error
    target = Path(folder)
    for name, table in sheets.items():
        write_atomically(target / name, table)
    write_atomically(target / DATA, data.encode())
    write_atomically(target / PAGE, page.encode())
    return target / PAGE
