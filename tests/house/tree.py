"""The files of the repository: what git tracks, or would track."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked() -> list[str]:
    """Paths relative to the root; skips the test where there is no git."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the files of the repository are not known: {error}")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def pages() -> list[Path]:
    """Every Markdown page."""
    return [ROOT / name for name in tracked() if name.endswith(".md")]
