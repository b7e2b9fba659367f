"""Device memory, a stream and what the GPU is, from the CUDA runtime through ctypes: no torch, no PyCUDA on a board."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from sanp_targets.errors import TargetError

_NAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
_FOLDERS = ("usr/local/cuda/lib64", "usr/local/cuda/targets/*-linux/lib", "usr/lib/*-linux-gnu")

# Numbers of cudaDeviceAttr, the same since CUDA 5.
_MULTIPROCESSORS, _MAJOR, _MINOR = 16, 75, 76
# The name is the first field of cudaDeviceProp in every version; the struct has grown to about 1 KiB.
_PROPERTIES_BYTES, _NAME_BYTES = 16384, 256
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2


class Cuda:
    """The CUDA runtime and one stream on device 0 (choose another with CUDA_VISIBLE_DEVICES).

    Every failing call is a TargetError with CUDA's own words. `close` frees everything that was allocated here.
    """

    def __init__(self) -> None:
        self._library = _open()
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        self._memory: List[int] = []
        stream = ctypes.c_void_p()
        self._call("cudaStreamCreate", ctypes.byref(stream))
        self.stream = int(stream.value or 0)

    def allocate(self, size: int) -> int:
        """Device pointer to `size` bytes, 256-byte aligned."""
        pointer = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
        self._memory.append(int(pointer.value or 0))
        return self._memory[-1]

    def free(self, pointer: int) -> None:
        """Give back what `allocate` returned; no effect after `close`, which gives back everything."""
        if pointer in self._memory:
            self._memory.remove(pointer)
            self._call("cudaFree", ctypes.c_void_p(pointer))

    def upload(self, pointer: int, array: np.ndarray) -> None:
        """Copy a contiguous array to the device and wait for it."""
        self._copy(pointer, array.ctypes.data, array.nbytes, _HOST_TO_DEVICE)
        self.synchronize()

    def download(self, array: np.ndarray, pointer: int) -> None:
        """Queue the copy from the device into a contiguous array; complete after `synchronize`."""
        self._copy(array.ctypes.data, pointer, array.nbytes, _DEVICE_TO_HOST)

    def synchronize(self) -> None:
        """Wait for everything queued on the stream."""
        self._call("cudaStreamSynchronize", ctypes.c_void_p(self.stream))

    def describe(self) -> Dict[str, Any]:
        """gpu (name), sm ("87"), multiprocessors, cuda and driver versions ("12.6")."""
        values = {}
        for key, attribute in (("major", _MAJOR), ("minor", _MINOR), ("count", _MULTIPROCESSORS)):
            number = ctypes.c_int()
            self._call("cudaDeviceGetAttribute", ctypes.byref(number), ctypes.c_int(attribute), ctypes.c_int(0))
            values[key] = number.value
        return {
            "gpu": self._name(),
            "sm": f"{values['major']}{values['minor']}",
            "multiprocessors": values["count"],
            "cuda": self._version("cudaRuntimeGetVersion"),
            "driver": self._version("cudaDriverGetVersion"),
        }

    def close(self) -> None:
        """Free the memory and the stream; idempotent."""
        while self._memory:
            self._call("cudaFree", ctypes.c_void_p(self._memory.pop()))
        if self.stream:
            self._call("cudaStreamDestroy", ctypes.c_void_p(self.stream))
            self.stream = 0

    def _copy(self, target: int, source: int, size: int, direction: int) -> None:
        self._call(
            "cudaMemcpyAsync",
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(size),
            ctypes.c_int(direction),
            ctypes.c_void_p(self.stream),
        )

    def _name(self) -> str:
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", properties, ctypes.c_int(0))
        return properties.raw[:_NAME_BYTES].split(b"\0", 1)[0].decode("utf-8", "replace")

    def _version(self, function: str) -> str:
        number = ctypes.c_int()
        self._call(function, ctypes.byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            text = (self._library.cudaGetErrorString(ctypes.c_int(status)) or b"").decode("utf-8", "replace")
            raise TargetError(
                f"{name} failed with CUDA error {status} ({text}), expected a working NVIDIA GPU; check it with "
                "nvidia-smi, on a Jetson with tegrastats"
            )


def _open() -> Any:
    """The runtime that TensorRT has already loaded, or else an installed one; TargetError if there is none."""
    found = [path for folder in _FOLDERS for path in sorted(Path("/").glob(f"{folder}/libcudart.so*"), reverse=True)]
    for name in (*_NAMES, *found):
        try:
            return ctypes.CDLL(str(name))
        except OSError:
            continue
    raise TargetError(
        f"{_NAMES[0]} was not found, expected the CUDA runtime in the library path or in /{_FOLDERS[0]}; on a Jetson "
        "run `sudo apt install nvidia-jetpack`, elsewhere install CUDA or `pip install nvidia-cuda-runtime`"
    )
