"""The CUDA kernels compiled for the CPU emulator: the same library without a GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.gpu.cuda_library import CudaLibrary

ROOT = Path(__file__).resolve().parents[2]


def build_emulated() -> CudaLibrary:
    """The kernels compiled for the CPU emulator, in build/cuda-emulated; a later run compiles only what changed."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake or a C++ compiler is missing")
    folder = ROOT / "build/cuda-emulated"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", *generator, "-S", ROOT / "runtime/native/tests/cuda", "-B", folder]
    for command in (configure, ["cmake", "--build", folder, "-j", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return CudaLibrary(folder / "libsanp_cuda_emulated.so")
