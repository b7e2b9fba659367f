"""Compiles the CUDA kernels: with nvcc for the GPU at hand, or as C++ for the emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import Any

from benchmarks.gpu.visit.runner import ROOT
from benchmarks.gpu.visit.tools import find_tool

NATIVE = ROOT / "runtime/native"


class _Build:
    """One CMake project and the library that it makes."""

    def __init__(self, source: str, folder: str, library: str, jobs: int) -> None:
        self.source, self.folder, self.jobs = NATIVE / source, ROOT / "build" / folder, jobs
        self.library = self.folder / library

    def __call__(self, *options: str) -> dict[str, Any]:
        """Configure and build; RuntimeError with the compiler's last words."""
        begin = time.perf_counter()
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = ["cmake", *generator, "-S", str(self.source), "-B", str(self.folder), *options]
        text = ""
        for command in (configure, ["cmake", "--build", str(self.folder), "-j", str(self.jobs)]):
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except FileNotFoundError as error:
                raise RuntimeError("cmake is missing, expected 3.18 or newer; install it") from error
            text += done.stdout + done.stderr
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {text[-3000:]}")
        return {
            "library": str(self.library.relative_to(ROOT)), "seconds": round(time.perf_counter() - begin, 2),
            "options": list(options), "spills": [line for line in text.splitlines() if "spill" in line][:20],
        }  # fmt: skip


class _GpuBuild(_Build):
    """A project with kernels, for one architecture such as "90"."""

    def __call__(self, *options: str) -> dict[str, Any]:
        """As the base; options: the architecture."""
        (architecture,) = options
        nvcc = find_tool("nvcc")
        if nvcc is None:
            raise RuntimeError("nvcc is missing; install the CUDA toolkit or set CUDA_HOME")
        return super().__call__(f"-DCMAKE_CUDA_COMPILER={nvcc}", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}-real")


class _CpuOperators(_Build):
    """The operator library for CPUs, which the tests of ONNX Runtime compare with."""

    def installed(self) -> dict[str, Any]:
        """Build it, and put it where the source tree looks for it."""
        made, place = self(), ROOT / "runtime/sanp_runtime/_native" / self.library.name
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            place.symlink_to(self.library)
        return made


CORES = os.cpu_count() or 4
build_for_gpu = _GpuBuild("cuda", "cuda-gpu", "libsanp_cuda.so", CORES)
build_emulated = _Build("tests/cuda", "cuda-emulated", "libsanp_cuda_emulated.so", 2)
build_cpu_operators = _CpuOperators(".", "native", "libsanp_ops.so", CORES)
build_ort_operators = _GpuBuild("ort/cuda", "ort-cuda", "libsanp_ops_cuda.so", CORES)
