"""ONNX Runtime sessions with and without our operator library, and the check of an answer before it is timed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.machine import describe
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from sanp_targets.errors import SanpError


def library_path(given: Path | None) -> Path:
    """The operator library to measure: the given one, or that of this installation; SystemExit if there is none."""
    try:
        path = given or Path(find_library())
    except SanpError as error:
        raise SystemExit(str(error)) from error
    if not path.is_file():
        raise SystemExit(f"{path}: does not exist, expected an operator library")
    return path.resolve()


class Library:
    """The operator library, and the instruction set that sessions ask of it."""

    def __init__(self, path: Path | None = None, isa: str = "auto") -> None:
        """`path` None: the library of this installation. SystemExit for an instruction set that the CPU lacks."""
        self.path, self._asked = library_path(path), isa
        try:
            self._ops = OpLibrary(self.path)
        except SanpError as error:
            raise SystemExit(str(error)) from error
        self.entries()
        self.isa = self._ops.isa if isa == "auto" else isa

    @property
    def version(self) -> str:
        """Version of the library."""
        return self._ops.version

    def entries(self, winograd: int | None = None, bf16_weights: bool | None = None) -> dict[str, str]:
        """Entries of a session's configuration; SystemExit for what the library or the CPU lacks.

        winograd: the largest Winograd tile allowed, 0 for none. bf16_weights: whether weights that 16 bits hold are
        stored in 16 bits. None leaves the choice to the library.
        """
        try:
            return self._ops.session_entries(self._asked, winograd, bf16_weights)
        except SanpError as error:
            raise SystemExit(str(error)) from error

    def session(self, model: bytes, threads: int = 1, **settings: int | None) -> ort.InferenceSession:
        """A session whose gated nodes run in this library; settings as in `entries`."""
        return session(model, self.path, threads, self.entries(**settings))

    @property
    def text(self) -> str:
        """Instruction set and runtime, for the first line of a benchmark."""
        return f"{self.isa}, onnxruntime {ort.__version__}"

    def origin(self) -> dict[str, Any]:
        """What a result file says about its origin."""
        return {
            "machine": describe("numpy", "onnxruntime"),
            "library": {"version": self.version, "isa": self.isa, "sha256": digest(self.path)},
        }


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def session(
    model: bytes,
    library: Path | None = None,
    threads: int = 1,
    entries: Mapping[str, str] | None = None,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """A CPU session with a fixed number of threads, with or without an operator library.

    profile: the profiler of ONNX Runtime writes to a file whose name begins like this.

    One thread here: of two sessions in a process the waiting threads of one spin on the cores that the other needs, and
    dense networks looked no faster with two. benchmarks/peers stops the process of an engine that is not at its turn.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if library is not None:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bound_run(session: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> Callable[[], None]:
    """One inference with inputs already bound: handing 75 masks over from Python takes as long as a small layer."""
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output(session.get_outputs()[0].name)
    return lambda: session.run_with_iobinding(binding)


def require_close(name: str, ours: np.ndarray, reference: np.ndarray, limit: float = 1e-4) -> None:
    """Refuse to time what is wrong: SystemExit if an output is off by more than `limit` of the largest one."""
    error = float(np.abs(ours - reference).max()) / float(np.abs(reference).max())
    if not error < limit:
        raise SystemExit(f"{name}: relative error {error:.2e} against the reference; expected < {limit:.0e}")
