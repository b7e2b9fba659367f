"""Whether results may be written to a place; asked before the work that makes them, which may take hours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sanp_runtime.bundle.files import check_outside_bundles
from sanp_targets.errors import ConfigError


def check_outputs(paths: Iterable[Path], replace: bool) -> None:
    """Refuse to write these files: into a bundle, or over an earlier result unless `replace`. Raises ConfigError."""
    for path in map(Path, paths):
        check_outside_bundles(path)
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder, expected the name of a file; add one")
        if path.exists() and not replace:
            raise ConfigError(f"{path}: exists already; choose another place or allow it to be replaced (--replace)")
