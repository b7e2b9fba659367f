"""`sanp profile`: run the device-side profiler, here or on a board, and say in words what it found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sanp.pipeline.on_board import profile_there
from sanp.pipeline.outputs import check_outputs
from sanp.remote.board import Board, Log
from sanp.report.sections import summary
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.prediction import prediction, require_predictable
from sanp_runtime.latency.table import read_table
from sanp_runtime.network.sizes import size_of
from sanp_runtime.profile.profile import profile
from sanp_targets.errors import ConfigError, SanpError


def profile_bundle(
    bundle: str | Path,
    settings: ProfileSettings | None = None,
    output: Path | None = None,
    log: Log = lambda text: None,
    **keywords: Any,
) -> dict[str, Any]:
    """Measure a bundle; the JSON is also written to `output`. See `sanp_runtime.profile.profile` for its content.

    Settings are an object or its fields as keywords; with a `host` it is measured there. log: called with one sentence
    before what takes long on a board. Raises InputError for a damaged bundle, ConfigError for more threads than
    processors, for an `output` in a bundle, and for one that exists, unless `replace`; TargetError for a board that
    cannot be used; with `predicted_by` also what `require_predictable` raises, before anything is measured, and
    ConfigError for what the measurement alone can tell, such as another device: the profile is in `output` by then.
    """
    chosen = ProfileSettings.chosen(settings, keywords)
    if output is not None:
        check_outputs([output], chosen.replace)
    if chosen.predicted_by is not None and chosen.budget is not None:
        raise ConfigError(
            f"budget is {chosen.budget:g} beside predicted_by, expected the network as trained, whose gates are known "
            "from its reference; leave one of them out"
        )
    if chosen.predicted_by is not None and chosen.size is not None:
        raise ConfigError(
            f"size is {chosen.size} beside predicted_by, expected the size of the bundle's samples, whose gates are "
            "known; leave one of them out"
        )
    table = None if chosen.predicted_by is None else read_table(chosen.predicted_by)
    opened = open_bundle(bundle)
    if table is not None:
        require_predictable(table, opened, threads=chosen.threads, batch=chosen.batch)
    if chosen.remote.on_board:
        with Board(chosen.remote, log) as board:
            result = profile_there(board, opened, chosen)
    else:
        result = _profile_here(opened, chosen)
    problem: SanpError | None = None
    if table is not None:
        try:
            result["prediction"] = prediction(table, opened, result)
        except SanpError as error:
            problem = error
    if output is not None:
        write_atomically(output, dumps(result).encode())
    if problem is not None:  # after the file: what was measured holds without the prediction
        kept = "" if output is None else f"; the profile is in {output}, without a prediction"
        raise type(problem)(f"{problem}{kept}") from problem
    return result


def _profile_here(bundle: Bundle, settings: ProfileSettings) -> dict[str, Any]:
    settings.check_threads(os.cpu_count() or 1)
    options = EngineOptions(threads=settings.threads)
    return profile(
        bundle,
        options,
        duration_s=settings.duration,
        batch=settings.batch,
        size=None if settings.size is None else size_of(settings.size),
        power_mode=settings.power_mode,
        fix_clocks=settings.fix_clocks,
        energy=settings.energy,
        budget=settings.budget,
        budgets=settings.budgets,
    ).to_json()


def headline(result: dict[str, Any]) -> str:
    """What was gained, in words that are also true when nothing was: the report's sentence and the ratios behind it."""
    ratios = result["ratios"]
    if ratios is None:
        return summary.headline(result)
    gained = f"{ratios['efficiency']:.0%} of the theoretical {ratios['theoretical']:.2f}x is real"
    if ratios["overhead"] is None:
        return f"{summary.headline(result)} {gained}."
    return (
        f"{summary.headline(result)} {gained}; with all gates open it takes {ratios['overhead']:.2f}x the dense time."
    )
