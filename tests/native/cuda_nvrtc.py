"""NVIDIA's run-time compiler of CUDA 11, from its wheel: compiles device code for Xavier, which CUDA 13 dropped."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# The oldest release that exists as a wheel, and the nearest to CUDA 11.4 of JetPack 5. 21 MB and 1 MB.
PACKAGES = ("nvidia-cuda-nvrtc-cu11==11.7.99", "nvidia-cuda-runtime-cu11==11.7.99")
# A compiler without a host has no C library; the kernels use fixed-width integers and nothing else of it.
HEADERS = {
    b"stdint.h": b"typedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long long int64_t;"
    b"typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned uint32_t;"
    b"typedef unsigned long long uint64_t;",
}


def install(folder: Path) -> Path:
    """The wheels unpacked in `folder`, downloaded once. Skips the test where they cannot be had."""
    if not (folder / "nvidia").exists():
        command = [sys.executable, "-m", "pip", "--quiet", "--retries=0", "--timeout=10", "install", "--no-deps"]
        command += ["--only-binary=:all:", "--target", str(folder), *PACKAGES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"{' and '.join(PACKAGES)} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder / "nvidia"


class RuntimeCompiler:
    """libnvrtc, for one purpose: does this source compile for that architecture?"""

    def __init__(self, folder: Path) -> None:
        self._nvrtc = ctypes.CDLL(str(folder / "cuda_nvrtc/lib/libnvrtc.so.11.2"))
        self._includes = [folder / "cuda_runtime/include"]

    def cubin(self, source: str, architecture: str, includes: list[Path]) -> bytes:
        """Machine code; a compiler error is the message of the exception."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        texts = (ctypes.c_char_p * len(HEADERS))(*HEADERS.values())
        names = (ctypes.c_char_p * len(HEADERS))(*HEADERS)
        created = self._nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), b"kernels.cu", len(HEADERS), texts, names
        )
        assert created == 0
        options = [f"--gpu-architecture={architecture}", "--std=c++17", "--device-as-default-execution-space"]
        options += [f"--include-path={p}" for p in [*includes, *self._includes]]
        encoded = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        # In a thread of its own, which the compiler leaves in the C locale; in this one, later tests would read ASCII.
        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(self._nvrtc.nvrtcCompileProgram, program, len(options), encoded).result()
        self._nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self._nvrtc.nvrtcGetProgramLog(program, log)
        assert result == 0, log.value.decode()[-4000:]
        self._nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        self._nvrtc.nvrtcGetCUBIN(program, code)
        return code.raw
