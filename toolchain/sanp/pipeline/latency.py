"""`sanp profile --table`: a latency table of a bundle, measured here or on a board."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sanp.pipeline.on_board import table_there
from sanp.pipeline.outputs import check_outputs
from sanp.remote.board import Board, Log
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.measure import measure_table
from sanp_runtime.latency.table import LatencyTable
from sanp_targets.errors import ConfigError


def measure_latency_table(
    bundle: str | Path,
    settings: ProfileSettings | None = None,
    log: Log = lambda text: None,
    **keywords: Any,
) -> LatencyTable:
    """Measure the latency table of a bundle with gates, and write it to the setting `table`.

    Settings are an object or its fields as keywords; with a `host` it is measured there. Raises ConfigError for a
    bundle without gates, for settings that a table has no use for, such as a batch, for more threads than processors,
    and for a file that exists, unless `replace`; TargetError where a power mode or clocks cannot be set. The file is
    written whatever the verdict, which is in `LatencyTable.validity`.
    """
    chosen = ProfileSettings.chosen(settings, keywords)
    if chosen.table is None:
        raise ConfigError("table is not set, expected the path of the file to write; pass table=")
    check_outputs([chosen.table], chosen.replace)
    _refuse_others(chosen)
    opened = open_bundle(bundle)
    if chosen.remote.on_board:
        with Board(chosen.remote, log) as board:
            table = LatencyTable.from_json(table_there(board, opened, chosen))
    else:
        chosen.check_threads(os.cpu_count() or 1)
        table = measure_table(
            opened,
            EngineOptions(threads=chosen.threads),
            duration_s=chosen.duration,
            power_mode=chosen.power_mode,
            fix_clocks=chosen.fix_clocks,
        )
    table.save(chosen.table)
    return table


# What a profile may be asked for and a table not: every sample has masks of its own, which gates do not choose.
_OF_PROFILES = ("batch", "budget", "budgets", "size", "energy", "baseline", "junit", "predicted_by")


def _refuse_others(settings: ProfileSettings) -> None:
    for name in _OF_PROFILES:
        found = getattr(settings, name)
        if found != ProfileSettings.model_fields[name].default:
            raise ConfigError(
                f"{name} is {found} with table = {settings.table}, expected settings of a latency table alone, which "
                "are threads, duration, power_mode, fix_clocks and where it is measured; leave it out"
            )
