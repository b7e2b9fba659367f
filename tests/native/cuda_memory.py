"""Memory of the emulated device: every buffer lies between unmapped pages, so that reading one too many crashes."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE


def forbid(address: int, size: int) -> None:
    """From now on every access to these pages ends the program."""
    if LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


class HostBuffer:
    """An array between two unmapped pages, at a 16-byte boundary.

    It begins right behind the first page or ends at the second one, less up to 15 bytes that must stay as they are.
    """

    def __init__(self, array: np.ndarray, at_start: bool = False) -> None:
        size = max(1, -(-array.nbytes // PAGE)) * PAGE
        self._map = mmap.mmap(-1, size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + PAGE + size):
            forbid(guard, PAGE)
        slack = -array.nbytes % 16
        offset = PAGE if at_start else PAGE + size - array.nbytes - slack
        self._array = np.frombuffer(self._map, array.dtype, array.size, offset).reshape(array.shape)
        self._slack = np.frombuffer(self._map, np.uint8, slack, offset + array.nbytes)
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

    def __init__(self, at_start: bool = False) -> None:
        self.at_start = at_start

    def put(self, array: np.ndarray) -> HostBuffer:
        """Copies to the device."""
        return HostBuffer(np.ascontiguousarray(array), self.at_start)


class PagedMemory(HostMemory):
    """Memory in which rows of some arrays may not be touched. `closed` pairs an array with a flag for each such row.

    A row must fill whole pages.
    """

    def __init__(self, closed: list[tuple[np.ndarray, np.ndarray]]) -> None:
        super().__init__()
        self._closed = closed

    def put(self, array: np.ndarray) -> HostBuffer:
        """Copies to the device and forbids the closed rows."""
        buffer = super().put(array)
        for known, rows in self._closed:
            if known is not array:
                continue
            size = array.nbytes // rows.size
            assert size * rows.size == array.nbytes
            assert size % PAGE == 0
            for i in np.flatnonzero(rows):
                forbid(buffer.pointer + int(i) * size, size)
        return buffer
