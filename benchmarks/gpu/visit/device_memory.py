"""Memory for single launches without PyTorch: of the GPU by the CUDA driver, or of the emulator. Starts in a second."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p

import numpy as np

ALIGNMENT = 256


class HostMemory:
    """Memory of the emulated device."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def put(self, array: np.ndarray) -> int:
        """A copy; its address, a multiple of 256."""
        raw = np.empty(array.nbytes + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        raw[start : start + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        self._kept.append(raw)
        return raw.ctypes.data + start

    def get(self, address: int, like: np.ndarray) -> np.ndarray:
        """What lies there now, in the shape and type of `like`."""
        data = (ctypes.c_char * like.nbytes).from_address(address)
        return np.frombuffer(bytes(data), like.dtype).reshape(like.shape)


class DriverMemory:
    """Memory of the first GPU, in the context that the CUDA runtime uses too. Freed when the process ends."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._cuda.cuMemAlloc_v2.argtypes = [c_void_p, c_size_t]
        self._cuda.cuMemcpyHtoD_v2.argtypes = [c_uint64, c_void_p, c_size_t]
        self._cuda.cuMemcpyDtoH_v2.argtypes = [c_void_p, c_uint64, c_size_t]
        device, context = c_int(), c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status != 0:
            text = c_char_p()
            self._cuda.cuGetErrorString(status, byref(text))
            said = (text.value or b"unknown error").decode()
            raise RuntimeError(f"{name} gave {status}: {said}")

    def put(self, array: np.ndarray) -> int:
        """A copy; its address, a multiple of 256."""
        array, address = np.ascontiguousarray(array), c_uint64()
        self._call("cuMemAlloc_v2", byref(address), max(1, array.nbytes))
        if array.nbytes:
            self._call("cuMemcpyHtoD_v2", address, array.ctypes.data, array.nbytes)
        return int(address.value)

    def get(self, address: int, like: np.ndarray) -> np.ndarray:
        """Waits for the device; what lies there now, in the shape and type of `like`."""
        found = np.empty_like(like)
        self._call("cuCtxSynchronize")
        self._call("cuMemcpyDtoH_v2", found.ctypes.data, address, found.nbytes)
        return found


MEMORIES = {"host": HostMemory, "driver": DriverMemory}
