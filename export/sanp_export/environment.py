"""Whether torch's exporter fails because of the network, or because the installed packages do not fit each other."""

from __future__ import annotations

import importlib.metadata
import re
import sysconfig
import traceback
from pathlib import Path

from sanp_targets.errors import TargetError

_PACKAGES = ("torch", "onnx", "onnx_ir", "onnxscript")
_DISTRIBUTIONS = ("torch", "onnxscript", "onnx-ir", "onnx")


def root_cause(error: BaseException) -> BaseException:
    """The innermost error: torch wraps it in several of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """Of an error's text, without the terminal colours of torch's pages of advice."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def environment_error(error: BaseException) -> TargetError | None:
    """A TargetError that names the versions, if packages and not the network are to blame; else None.

    They are if something could not be imported, or a name is missing, and no line of the network was being executed:
    every frame below `torch.onnx.export` is in torch, onnx, onnx_ir, onnxscript or the standard library.
    """
    cause = root_cause(error)
    if not isinstance(cause, (AttributeError, ImportError)) or _ran_other_code(cause):
        return None
    return TargetError(
        f"torch cannot export any network here ({type(cause).__name__}: {str(cause).splitlines()[0]:.160}), expected "
        f"packages that fit each other, found {_versions()}; run `pip install --upgrade 'sanp-toolchain[export]' torch "
        "onnxscript onnx-ir`"
    )


def _ran_other_code(error: BaseException) -> bool:
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    below = [path for path in files if path.parent != Path(__file__).parent]
    return not all(_is_library(path) for path in below)


def _is_library(path: Path) -> bool:
    if str(path).startswith("<"):  # code that a library wrote
        return True
    parts = path.parts
    if "site-packages" in parts or "dist-packages" in parts:
        start = max(index for index, part in enumerate(parts) if part in ("site-packages", "dist-packages"))
        return parts[start + 1 : start + 2] != () and parts[start + 1] in _PACKAGES
    return path.is_relative_to(sysconfig.get_paths()["stdlib"])


def _versions() -> str:
    found = []
    for name in _DISTRIBUTIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)
