"""Which sources a result belongs to: the commit, and a digest that also tells uncommitted edits apart."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

FOLDERS = ("benchmarks/gpu", "runtime/native/cuda", "toolchain/sanp")
SUFFIXES = {".py", ".cc", ".cu", ".h", ".inc", ".txt", ".cmake"}


def commit(root: Path) -> str:
    """The checked-out commit, with a mark for edits; words where there is no repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=root, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
    except OSError:
        return "not known: git is missing"
    return done.stdout.strip() if done.returncode == 0 else "not known: no repository"


def digest(root: Path) -> str:
    """12 hex digits of the sources that decide the numbers."""
    total = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]
