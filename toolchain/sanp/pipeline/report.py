"""`sanp report`: the results of a bundle, read from their files or measured now, to one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanp.pipeline.outputs import check_outputs
from sanp.pipeline.profile import profile_bundle
from sanp.report import write_report
from sanp.report.checks import check_each, check_same_bundle
from sanp.report.result_file import read_result
from sanp.report.writer import FILES
from sanp.settings.report import ReportSettings
from sanp_runtime.bundle.reader import open_bundle


def report_bundle(
    bundle: str | Path, folder: str | Path, settings: ReportSettings | None = None, **keywords: Any
) -> Path:
    """Write report.html and report.json into `folder`; returns the page.

    Settings are an object or its fields as keywords. Raises InputError for a damaged bundle, for results that cannot be
    read, say nothing, or are of another kind or bundle, ConfigError for a folder that cannot be written or that holds a
    report, unless `replace`.
    """
    chosen = ReportSettings.chosen(settings, keywords)
    check_outputs([Path(folder) / name for name in FILES], chosen.replace)
    opened = open_bundle(bundle)
    given = {name: read_result(getattr(chosen, name)) for name in ("training", "validation", "profile")}
    check_each(given)  # before a measurement of seconds
    check_same_bundle(given, opened.digest(), bundle)
    results = {
        **given,
        "profile": given["profile"] or profile_bundle(bundle),
        "bundle": opened.manifest.to_json(),
    }
    return write_report(results, folder)
