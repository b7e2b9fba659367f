"""`sanp profile`: run the device-side profiler and say in words what it found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sanp.report import words
from sanp.settings.base import ProfileSettings
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.profile.profile import profile
from sanp_targets.errors import ConfigError


def profile_bundle(bundle: str | Path, settings: ProfileSettings, output: Path | None = None) -> dict[str, Any]:
    """Measure a bundle; the JSON is also written to `output`. See `sanp_runtime.profile.profile` for its content."""
    if output is not None and Path(output).is_dir():
        raise ConfigError(f"{output}: is a folder, expected the name of a JSON file; add one")
    cores = os.cpu_count() or 1
    if settings.threads > cores:
        raise ConfigError(f"threads is {settings.threads}, this machine has {cores} processors; use at most as many")
    result = profile(
        open_bundle(bundle),
        EngineOptions(threads=settings.threads),
        duration_s=settings.duration,
        batch=settings.batch,
    ).to_json()
    if output is not None:
        write_atomically(output, json.dumps(result, indent=1, allow_nan=False).encode())
    return result


def headline(result: dict[str, Any]) -> str:
    """What was gained, in words that are also true when nothing was: the report's sentence and the ratios behind it."""
    ratios = result["ratios"]
    return (
        f"{words.headline(result)} {ratios['efficiency']:.0%} of the theoretical {ratios['theoretical']:.2f}x is real; "
        f"with all gates open it takes {ratios['overhead']:.2f}x the dense time."
    )
