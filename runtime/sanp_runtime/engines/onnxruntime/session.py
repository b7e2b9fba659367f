"""ONNX Runtime sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

from sanp_runtime.engines.onnxruntime.distribution import import_onnxruntime
from sanp_runtime.engines.shared_object import check_shared_object
from sanp_targets.errors import InputError, TargetError

PROVIDER = "CPUExecutionProvider"


def onnxruntime_version() -> str:
    """Version of the installed ONNX Runtime; TargetError if there is none."""
    return str(import_onnxruntime().__version__)


def open_session(
    model: Path,
    threads: int,
    library: Optional[Path] = None,
    profile_prefix: Optional[Path] = None,
    entries: Optional[Mapping[str, str]] = None,
) -> Any:
    """An InferenceSession on the CPU.

    library: operator library to register, None for plain ONNX Runtime. profile_prefix: start ONNX Runtime's profiler
    and write its file there. entries: of the session's configuration, such as `OpLibrary.session_entries` returns.
    Raises TargetError if the library cannot be registered, InputError if the model cannot be loaded.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Threads stop spinning when a call ends; otherwise an idle engine would steal cores from the one being timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    # Before the library, which reads them once, when it is registered.
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    if library is not None:
        check_shared_object(library)
        try:
            options.register_custom_ops_library(str(library))
        except Exception as error:
            raise TargetError(
                f"{library}: ONNX Runtime {ort.__version__} cannot use it ({_first_line(error)}); compile the bundle "
                "for this machine, or pass library=None to run slowly without it"
            ) from error
    try:
        return ort.InferenceSession(str(model), options, providers=[PROVIDER])
    except Exception as error:
        raise InputError(
            f"{model}: ONNX Runtime {ort.__version__} cannot load it ({_first_line(error)}); compile the bundle again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
