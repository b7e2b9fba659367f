"""The CUDA kernels compiled for the CPU emulator: the same library without a GPU."""

from __future__ import annotations

from benchmarks.gpu.cuda_library import CudaLibrary
from tests.native import native_build
from tests.native.native_build import ROOT

__all__ = ["ROOT", "build_emulated"]


def build_emulated() -> CudaLibrary:
    """The kernels compiled for the CPU emulator, in build/cuda-emulated."""
    folder = native_build.build("cuda-emulated", source=native_build.NATIVE / "tests/cuda")
    return CudaLibrary(folder / "libsanp_cuda_emulated.so")
