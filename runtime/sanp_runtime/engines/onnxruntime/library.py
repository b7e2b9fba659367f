"""The operator library: where it is, what it was built for, and which of its instruction sets is in force."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

from sanp_runtime.bundle.reader import PathLike
from sanp_runtime.contract import LIBRARY_FILE
from sanp_targets.errors import ConfigError, TargetError

AUTO = "auto"
SHAPE_NUMBERS = 15


def find_library() -> Path:
    """Path of the library built for this machine; TargetError, saying how to build it, if there is none."""
    path = Path(__file__).parents[2] / "_native" / LIBRARY_FILE
    if path.is_file():
        return path
    raise TargetError(
        f"{path}: the operator library is missing, expected it inside the installed package; run `pip install .` in "
        "the source tree, or `cmake -S runtime/native -B build/native && cmake --build build/native` and copy "
        f"build/native/{LIBRARY_FILE} to that path"
    )


class OpLibrary:
    """An opened operator library. The same file opened twice is one library with one forced instruction set.

    Raises TargetError if the file is missing, was built for another machine, or is not an operator library.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path).resolve()
        if not self.path.is_file():
            raise TargetError(f"{self.path}: does not exist, expected an operator library such as {LIBRARY_FILE}")
        try:
            self._handle = ctypes.CDLL(str(self.path))
            for name in ("sanp_ops_version", "sanp_ops_isa"):
                getattr(self._handle, name).restype = ctypes.c_char_p
                getattr(self._handle, name).argtypes = []
            self._handle.sanp_ops_force_isa.restype = ctypes.c_int
            self._handle.sanp_ops_force_isa.argtypes = [ctypes.c_char_p]
        except OSError as error:
            raise TargetError(
                f"{self.path}: cannot be loaded on this machine ({error}); compile the bundle for this target"
            ) from error
        except AttributeError as error:
            raise TargetError(
                f"{self.path}: is not a SANP operator library ({error}); pass the {LIBRARY_FILE} of a bundle"
            ) from error

    @property
    def version(self) -> str:
        """Version of the library."""
        return str(self._handle.sanp_ops_version().decode())

    @property
    def isa(self) -> str:
        """Instruction set that kernels created from now on will use."""
        return str(self._handle.sanp_ops_isa().decode())

    def force_isa(self, name: str) -> None:
        """Use this instruction set for kernels created from now on; "auto" returns to the best one.

        Raises ConfigError if the library or the CPU lacks it.
        """
        self._handle.sanp_ops_force_isa(name.encode())
        if name not in (AUTO, self.isa):
            raise ConfigError(
                f"instruction set {name!r} is not in {self.path.name} or not in this CPU, which uses {self.isa!r}; "
                f"choose another one or {AUTO!r}"
            )

    def algorithms(self, shape: Sequence[int]) -> Tuple[str, ...]:
        """Kernel algorithms that can compute a convolution with constant weights, the cost model's choice first.

        shape: channels in, height, width, channels out, then two numbers each for kernel and strides, four for pads
        (top, left, bottom, right), two for dilations, and the groups. Empty for a shape without output. Raises
        TargetError for a library that is too old to tell.
        """
        if len(shape) != SHAPE_NUMBERS:
            raise ConfigError(
                f"a convolution was given by {len(shape)} numbers, expected {SHAPE_NUMBERS}; see OpLibrary.algorithms"
            )
        try:
            algorithms = self._handle.sanp_ops_algorithms  # asked for here: bundles made before it existed still run
        except AttributeError as error:
            raise TargetError(
                f"{self.path}: names no kernels ({error}), expected a newer library; use that of this package"
            ) from error
        algorithms.restype, algorithms.argtypes = ctypes.c_char_p, [ctypes.c_int64 * SHAPE_NUMBERS]
        return tuple(algorithms((ctypes.c_int64 * SHAPE_NUMBERS)(*shape)).decode().split())

    @contextlib.contextmanager
    def forced(self, name: Optional[str]) -> Iterator[None]:
        """Force an instruction set for the kernels created in the `with` block; None leaves the best one."""
        if name is None:
            yield
            return
        self.force_isa(name)
        try:
            yield
        finally:
            self.force_isa(AUTO)
