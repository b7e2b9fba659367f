"""What a result file says about where its numbers come from."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from benchmarks.wide_registers import demanded
from sanp_targets.device import fingerprint


def describe(*packages: str) -> dict[str, Any]:
    """Processor, cores and versions of `packages`; plain JSON. Times also depend on what else runs there."""
    device = fingerprint()
    kept = ("arch", "board", "cpu_model", "isa", "cores", "virtual")
    return {
        **{key: device[key] for key in kept},
        "python": platform.python_version(),
        "without_avx512": demanded(),
        "packages": {name: version(name) for name in packages},
    }


def version(package: str) -> str:
    """The installed version, or the words that say there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
