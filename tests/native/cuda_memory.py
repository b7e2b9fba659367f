"""Memory of the emulated device: every buffer lies between unmapped pages, so that reading one too many crashes."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE


class HostBuffer:
    """An array that begins at a 16-byte boundary and ends at an unmapped page, or up to 15 bytes before it."""

    def __init__(self, array: np.ndarray) -> None:
        size = max(1, -(-array.nbytes // PAGE)) * PAGE
        self._map = mmap.mmap(-1, size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + PAGE + size):
            if LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        slack = -array.nbytes % 16
        offset = PAGE + size - array.nbytes - slack
        self._array = np.frombuffer(self._map, array.dtype, array.size, offset).reshape(array.shape)
        self._slack = np.frombuffer(self._map, np.uint8, slack, PAGE + size - slack)
        self._array[...] = array
        self._slack[...] = 0xFF
        self.pointer = start + offset

    def read(self) -> np.ndarray:
        """A copy of the contents; a write behind the end is an error."""
        assert (self._slack == 0xFF).all(), "a kernel wrote behind the end of a buffer"
        return self._array.copy()


class HostMemory:
    """The memory of the emulator. tests/gpu has one with the same methods for a real device."""

    stream = None

    def put(self, array: np.ndarray) -> HostBuffer:
        """Copies to the device."""
        return HostBuffer(np.ascontiguousarray(array))
