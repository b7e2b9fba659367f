"""A CUDA device, libsanp_cuda built for it, and memory on it. Everything here is skipped, with the reason, without one.

`make test-gpu` runs this folder. SANP_CUDA_LIBRARY names a library that was built elsewhere, for machines without nvcc.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu.cuda_library import CudaLibrary
from tests.native.cuda_emulated import ROOT


def pytest_collection_modifyitems(items):
    """Whatever uses the library here needs a device."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "library" in item.fixturenames:
            item.add_marker(pytest.mark.gpu)


def build() -> Path:
    """Compiled for the GPU at hand, into build/cuda-gpu."""
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=str(toolkit / "bin"))
    if nvcc is None or shutil.which("cmake") is None:
        pytest.skip("nvcc or cmake is missing; set SANP_CUDA_LIBRARY to a libsanp_cuda.so that was built elsewhere")
    major, minor = torch.cuda.get_device_capability()
    folder = ROOT / "build/cuda-gpu"
    configure = ["cmake", "-S", ROOT / "runtime/native/cuda", "-B", folder, f"-DCMAKE_CUDA_COMPILER={nvcc}"]
    configure += [f"-DCMAKE_CUDA_ARCHITECTURES={major}{minor}"]
    for command in (configure, ["cmake", "--build", folder, "-j", "4"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / "libsanp_cuda.so"


@pytest.fixture(scope="session")
def library() -> CudaLibrary:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    given = os.environ.get("SANP_CUDA_LIBRARY")
    return CudaLibrary(Path(given) if given else build())


class DeviceBuffer:
    """A copy of an array in device memory, between two areas that must stay as they are."""

    GUARD = 256

    def __init__(self, array: np.ndarray, stream: torch.cuda.Stream) -> None:
        self._shape, self._dtype, self._stream = array.shape, array.dtype, stream
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1) if array.size else np.zeros(0, np.uint8)
        guard = np.full(self.GUARD, 0xA5, np.uint8)
        with torch.cuda.stream(stream):
            self.bytes = torch.from_numpy(np.concatenate([guard, data, guard])).cuda()
        self.pointer = self.bytes.data_ptr() + self.GUARD

    def read(self) -> np.ndarray:
        """Waits for the stream and copies back; a write outside is an error."""
        self._stream.synchronize()
        everything = self.bytes.cpu().numpy()
        guards = np.concatenate([everything[: self.GUARD], everything[-self.GUARD :]])
        assert (guards == 0xA5).all(), "a kernel wrote outside a buffer"
        return everything[self.GUARD : -self.GUARD].copy().view(self._dtype).reshape(self._shape)


class DeviceMemory:
    """The memory of the device, as native.cuda_memory.HostMemory is that of the emulator."""

    def __init__(self) -> None:
        self.torch_stream = torch.cuda.Stream()
        self.stream = ctypes.c_void_p(self.torch_stream.cuda_stream)

    def put(self, array: np.ndarray) -> DeviceBuffer:
        """Copies to the device, in the order of the stream."""
        return DeviceBuffer(array, self.torch_stream)


@pytest.fixture
def memory(library) -> DeviceMemory:
    return DeviceMemory()
