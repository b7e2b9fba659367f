"""The operator library: where it is, what it was built for, and what a session may ask of it."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

from sanp_runtime.bundle.reader import PathLike
from sanp_runtime.contract import LIBRARY_FILE
from sanp_runtime.engines.shared_object import open_shared_object
from sanp_targets.errors import ConfigError, TargetError

AUTO = "auto"
SHAPE_NUMBERS = 15
# Entries of a session's configuration, which the library reads when it is registered; see runtime/native/README.md.
ISA_ENTRY, WINOGRAD_ENTRY, BF16_ENTRY = "sanp.isa", "sanp.winograd", "sanp.bf16_weights"
MOST_WINOGRAD = 4


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
    """An opened operator library. It holds no settings: a session brings its own, see `session_entries`.

    Raises TargetError if the file is missing, damaged, was built for another machine, or is not an operator library.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path).resolve()
        if not self.path.is_file():
            raise TargetError(f"{self.path}: does not exist, expected an operator library such as {LIBRARY_FILE}")
        try:
            self._handle = open_shared_object(self.path)
            for name in ("sanp_ops_version", "sanp_ops_isa"):
                getattr(self._handle, name).restype = ctypes.c_char_p
                getattr(self._handle, name).argtypes = []
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
        """The best instruction set of this CPU, for sessions that ask for none."""
        return str(self._handle.sanp_ops_isa().decode())

    @property
    def settings(self) -> Dict[str, Tuple[str, ...]]:
        """Entry of a session's configuration -> its values on this CPU, the default first.

        Empty for a library that is too old to have settings per session.
        """
        try:
            text = self._handle.sanp_ops_settings
        except AttributeError:
            return {}
        text.restype, text.argtypes = ctypes.c_char_p, []
        entries = (entry.split("=") for entry in text().decode().split())
        return {key: tuple(values.split("|")) for key, values in entries}

    @property
    def isas(self) -> Tuple[str, ...]:
        """Instruction sets that a session may ask for, best first."""
        return tuple(name for name in self.settings.get(ISA_ENTRY, (self.isa,)) if name != AUTO)

    def session_entries(
        self, isa: Optional[str] = None, winograd: Optional[int] = None, bf16_weights: Optional[bool] = None
    ) -> Dict[str, str]:
        """Entries for the configuration of a session that is about to register this library.

        isa: an instruction set; winograd: the largest Winograd tile, 0 for none; bf16_weights: whether weights that 16
        bits hold may be kept so. None leaves the best. Raises ConfigError for a value that the library or the CPU
        lacks, TargetError if the library is too old to be asked.
        """
        asked: Dict[str, str] = {}
        if isa not in (None, AUTO):
            asked[ISA_ENTRY] = str(isa)
        if winograd is not None:
            asked[WINOGRAD_ENTRY] = str(winograd)
        if bf16_weights is not None:
            asked[BF16_ENTRY] = str(int(bf16_weights))
        self._require(asked)
        return asked

    def _require(self, asked: Mapping[str, str]) -> None:
        known = self.settings
        for key, value in asked.items():
            if key not in known:
                raise TargetError(
                    f"{self.path}: is a library of version {self.version} that knows no {key} per session, and "
                    f"{value!r} was asked for; compile the bundle again, or leave the choice to the library"
                )
            if value not in known[key]:
                raise ConfigError(
                    f"{key} {value!r} is not in {self.path.name} or not in this CPU, whose best instruction set is "
                    f"{self.isa!r}; choose one of {', '.join(known[key])}"
                )

    def algorithms(
        self, shape: Sequence[int], isa: Optional[str] = None, winograd: int = MOST_WINOGRAD
    ) -> Tuple[str, ...]:
        """Kernel algorithms that can compute a convolution with constant weights, the cost model's choice first.

        shape: channels in, height, width, channels out, then two numbers each for kernel and strides, four for pads
        (top, left, bottom, right), two for dilations, and the groups. isa and winograd as in `session_entries`. Empty
        for a shape without output. Raises ConfigError for a setting that the library or the CPU lacks, TargetError for
        a library that is too old to tell.
        """
        if len(shape) != SHAPE_NUMBERS:
            raise ConfigError(
                f"a convolution was given by {len(shape)} numbers, expected {SHAPE_NUMBERS}; see OpLibrary.algorithms"
            )
        if not self.settings:  # asked for here: bundles made before it existed still run
            raise TargetError(
                f"{self.path}: is a library of version {self.version} that names no kernels for a setting, expected a "
                "newer library; use that of this package"
            )
        entries = self.session_entries(isa, winograd)
        function = self._handle.sanp_ops_algorithms
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_int64 * SHAPE_NUMBERS, ctypes.c_char_p, ctypes.c_int]
        name = entries[ISA_ENTRY].encode() if ISA_ENTRY in entries else None
        return tuple(function((ctypes.c_int64 * SHAPE_NUMBERS)(*shape), name, winograd).decode().split())
