"""Which of the builds of ONNX Runtime is installed: all of them are imported as `onnxruntime`, from one folder."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Dict

from sanp_targets.errors import TargetError

# Every one runs our bundles on the CPU; which is installed is the choice of whoever owns the machine.
DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-training",
    "onnxruntime-rocm",
    "onnxruntime-migraphx",
    "onnxruntime-qnn",
    "onnxruntime-cann",
    "onnxruntime-vitisai",
    "ort-nightly",
    "ort-nightly-gpu",
)
_ONE_AGAIN = "run `pip uninstall -y {all}`, then install the one that you want, such as `pip install {first}`"


def installed() -> Dict[str, str]:
    """Name -> version of every build that is installed. More than one overwrite each other's files."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def import_onnxruntime() -> Any:
    """The package; TargetError, saying what to install or to remove, if it is absent, damaged or overwritten."""
    try:
        import onnxruntime
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
            raise TargetError(
                f"onnxruntime cannot be imported ({error}), and this bundle needs it; run `pip install onnxruntime`, "
                f"or install another build of it ({', '.join(DISTRIBUTIONS[1:3])}, ...)"
            ) from error
        raise _damaged(str(error)) from error
    missing = [name for name in ("InferenceSession", "SessionOptions", "__version__") if not hasattr(onnxruntime, name)]
    if missing:  # as a folder that another build left behind
        raise _damaged(f"it has no {missing[0]}")
    return onnxruntime


def describe() -> Dict[str, str]:
    """For versions and results: the version that is imported, and the build if it is not the plain one."""
    version = str(import_onnxruntime().__version__)
    builds = [name for name in installed() if name != "onnxruntime"]
    return {"onnxruntime": version, **({"onnxruntime_build": "+".join(builds)} if builds else {})}


def several() -> str:
    """A sentence if more than one build is installed, else ""."""
    found = installed()
    if len(found) < 2:
        return ""
    names = " and ".join(f"{name} {version}" for name, version in found.items())
    return f"{names} are installed, and overwrite each other's files, expected one of them; {_cure(found)}"


def _damaged(what: str) -> TargetError:
    found = installed()
    if len(found) > 1:
        return TargetError(f"onnxruntime is installed but cannot be used ({what}): {several()}")
    name = next(iter(found), "onnxruntime")
    return TargetError(
        f"onnxruntime is installed but cannot be used ({what}); free some memory, or run "
        f"`pip install --force-reinstall {name}` if its files are damaged"
    )


def _cure(found: Dict[str, str]) -> str:
    special = [name for name in found if name != "onnxruntime"]
    return _ONE_AGAIN.format(all=" ".join(found), first=special[0])
