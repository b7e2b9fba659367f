"""C++ files of the benchmarks, compiled where they run."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parents[1] / "runtime/native"


@functools.cache
def compiled(source: Path) -> ctypes.CDLL:
    """A C++ file as a library. OSError without a compiler, CalledProcessError if it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"{source.stem}.so"
        options = ["-O3", "-std=c++17", "-pthread", "-shared", "-fPIC", "-I", NATIVE]
        subprocess.run(["c++", *options, source, "-o", library], check=True)
        return ctypes.CDLL(str(library))
