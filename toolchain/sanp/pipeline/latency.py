"""`sanp profile --table` and `--predicted-by`: a latency table measured here, and one held against a measurement."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sanp.pipeline.outputs import check_outputs
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.measure import measure_table
from sanp_runtime.latency.table import LatencyTable
from sanp_targets.errors import ConfigError


def measure_latency_table(bundle: str | Path, settings: ProfileSettings | None = None, **keywords: Any) -> LatencyTable:
    """Measure the latency table of a bundle with gates, and write it to the setting `table`.

    Settings are an object or its fields as keywords. Raises ConfigError for a bundle without gates, for a batch that is
    not 1, for more threads than processors, and for a file that exists, unless `replace`.
    """
    chosen = ProfileSettings.chosen(settings, keywords)
    if chosen.table is None:
        raise ConfigError("table is not set, expected the path of the file to write; pass table=")
    if chosen.remote.on_board:
        raise ConfigError(
            f"--host is {chosen.remote.host} with a latency table, expected no host: a table is measured where the "
            "toolchain runs; run `sanp profile --table` on that machine"
        )
    check_outputs([chosen.table], chosen.replace)
    if chosen.batch != 1:
        raise ConfigError(
            f"batch is {chosen.batch} with a latency table, expected 1: every sample has masks of its own; leave it out"
        )
    cores = os.cpu_count() or 1
    if chosen.threads > cores:
        raise ConfigError(f"threads is {chosen.threads}, this machine has {cores} processors; use at most as many")
    table = measure_table(open_bundle(bundle), EngineOptions(threads=chosen.threads), duration_s=chosen.duration)
    table.save(chosen.table)
    return table
