"""Builds a CMake project of runtime/native into build/, once for all test processes."""

from __future__ import annotations

import fcntl
import functools
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "runtime/native"


@functools.cache
def build(name: str, *options: str, target: str = "all", source: Path = NATIVE, forbid: str = "") -> Path:
    """Configure and build `source` in build/`name`, and return that folder; skips without CMake or a compiler.

    A folder that holds an earlier build compiles only what changed, and is configured again only for other options.
    Test processes that want the same folder wait for each other. The compilers may not say `forbid`.
    """
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake or a C++ compiler is missing")
    folder = ROOT / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = ["cmake", *generator, "-S", str(source), "-B", str(folder), *options]
        done_with = folder / "configured"
        if not done_with.is_file() or done_with.read_text() != "\n".join(configure):
            run(configure)
            done_with.write_text("\n".join(configure))
        said = run(["cmake", "--build", str(folder), "--target", target, "-j", "2"])
        assert not forbid or forbid not in said, said[-4000:]
    return folder


def kernel_test(name: str, *options: str) -> Path:
    """The test program of the CPU kernels, built in build/`name`."""
    return build(name, "-DSANP_NATIVE_TESTS=ON", *options, target="sanp_kernel_test") / "tests/cpu/sanp_kernel_test"


def run(command: list, **kwargs) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
    return done.stdout
