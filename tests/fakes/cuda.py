"""A GPU for tests without one: the CUDA runtime's functions on host memory, and a stand-in for the plugin library."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest


class FakeCudart:
    """The few functions of libcudart that we call."""

    def __init__(self, gpu="NVIDIA Fake", sm=87, runtime=12060):
        self.allocations = {}
        self.answers = {16: 8, 75: sm // 10, 76: sm % 10}
        self.gpu, self.runtime, self.fail = gpu, runtime, None
        self.cudaGetErrorString = lambda status: b"no CUDA-capable device is detected"

    def cudaStreamCreate(self, stream):
        if self.fail == "cudaStreamCreate":
            return 100
        stream._obj.value = 4096
        return 0

    def cudaStreamDestroy(self, stream):
        return 0

    def cudaStreamSynchronize(self, stream):
        assert stream.value == 4096
        return 0

    def cudaMalloc(self, pointer, size):
        buffer = ctypes.create_string_buffer(b"\xff" * size.value, size.value)  # NaN: nothing may rely on zeros
        pointer._obj.value = ctypes.addressof(buffer)
        self.allocations[pointer._obj.value] = buffer
        return 0

    def cudaFree(self, pointer):
        del self.allocations[pointer.value]
        return 0

    def cudaMemcpyAsync(self, target, source, size, direction, stream):
        self.check((target if direction.value == 1 else source).value, size.value)
        ctypes.memmove(target.value, source.value, size.value)
        return 0

    def check(self, address, size):
        """The range lies inside one allocation."""
        assert any(a <= address and address + size <= a + len(b) for a, b in self.allocations.items()), "bad address"

    def cudaDeviceGetAttribute(self, number, attribute, device):
        number._obj.value = self.answers[attribute.value]
        return 0

    def cudaGetDeviceProperties(self, properties, device):
        properties.value = self.gpu.encode()
        return 0

    def cudaRuntimeGetVersion(self, number):
        number._obj.value = self.runtime
        return 0

    cudaDriverGetVersion = cudaRuntimeGetVersion


def compile_stub_plugin(folder: Path, registered: int = 2) -> Path:
    """A real shared library that answers like the plugin; skips where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a stand-in for the plugin library")
    source = folder / f"stub{registered}.c"
    source.write_text(f"int sanp_trt_register(void) {{ return {registered}; }}\n")
    library = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library
