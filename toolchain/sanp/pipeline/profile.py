"""`sanp profile`: run the device-side profiler and say in words what it found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sanp.pipeline.outputs import check_outputs
from sanp.report.sections import summary
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.profile.profile import profile
from sanp_targets.errors import ConfigError


def profile_bundle(
    bundle: str | Path, settings: ProfileSettings | None = None, output: Path | None = None, **keywords: Any
) -> dict[str, Any]:
    """Measure a bundle; the JSON is also written to `output`. See `sanp_runtime.profile.profile` for its content.

    Settings are an object or its fields as keywords. Raises InputError for a damaged bundle, ConfigError for more
    threads than processors, for an `output` in a bundle, and for one that exists, unless `replace`.
    """
    chosen = ProfileSettings.chosen(settings, keywords)
    if output is not None:
        check_outputs([output], chosen.replace)
    cores = os.cpu_count() or 1
    if chosen.threads > cores:
        raise ConfigError(f"threads is {chosen.threads}, this machine has {cores} processors; use at most as many")
    result = profile(
        open_bundle(bundle),
        EngineOptions(threads=chosen.threads),
        duration_s=chosen.duration,
        batch=chosen.batch,
        power_mode=chosen.power_mode,
        fix_clocks=chosen.fix_clocks,
        energy=chosen.energy,
    ).to_json()
    if output is not None:
        write_atomically(output, dumps(result).encode())
    return result


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
