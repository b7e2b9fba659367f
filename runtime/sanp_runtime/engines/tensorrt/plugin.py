"""The plugin library: compiled on the device from the sources in the bundle, loaded once per process."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Dict, List, Optional

from sanp_runtime.contract import PLUGIN_FILE
from sanp_runtime.engines.shared_object import open_shared_object
from sanp_targets.errors import InputError, TargetError

_OPERATORS = 2
_SHOWN_LINES = 15
_LOADED: Dict[Path, ctypes.CDLL] = {}


def load_plugin(path: Path) -> None:
    """Load the library, which registers its operators with the TensorRT of this process; TargetError if it cannot.

    TensorRT must have been imported before: the library looks it up in the process and links to nothing.
    """
    key = path.resolve()
    try:
        if key not in _LOADED:
            _LOADED[key] = open_shared_object(key, mode=ctypes.RTLD_GLOBAL)
        library = _LOADED[key]
        register = library.sanp_trt_register
    except (OSError, AttributeError) as error:
        raise TargetError(
            f"{path}: cannot be loaded on this machine ({error}), expected the plugin library that was built here; "
            "build the engines of this bundle again"
        ) from error
    known = register()
    if known != _OPERATORS:
        raise TargetError(
            f"{path}: registered {known} of {_OPERATORS} operators, expected all with the TensorRT that is loaded; "
            "it was compiled for another major version: build the engines of this bundle again"
        )


def compile_plugin(sources: Path, folder: Path, arch: Optional[str] = None) -> Path:
    """Compile the sources with CMake inside `folder` and return the library.

    TENSORRT_ROOT in the environment names a TensorRT outside the system's paths; CUDA is found through nvcc or in
    /usr/local/cuda. arch: compute capability such as "87". Raises TargetError with the last lines of the failing
    command and what to install.
    """
    if shutil.which("cmake") is None:
        raise TargetError("cmake was not found, expected it to compile the plugin; run `sudo apt install cmake g++`")
    _unpack(sources, folder)
    build = folder / "build"
    configure = ["cmake", "-S", str(folder / "trt"), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"]
    if os.environ.get("TENSORRT_ROOT"):
        configure.append(f"-DTENSORRT_ROOT={os.environ['TENSORRT_ROOT']}")
    if arch is not None:
        configure.append(f"-DCMAKE_CUDA_ARCHITECTURES={arch}")
    environment = dict(os.environ)
    if shutil.which("nvcc") is None:  # not in the path on a fresh Jetson
        environment.setdefault("CUDACXX", "/usr/local/cuda/bin/nvcc")
    _run(configure, environment)
    _run(["cmake", "--build", str(build), "--target", "sanp_trt", "--parallel", str(os.cpu_count() or 1)], environment)
    found = sorted(build.rglob(PLUGIN_FILE))
    if not found:
        raise TargetError(f"the build left no {PLUGIN_FILE} in {build}, expected one; report the output of cmake")
    return found[0]


def _unpack(sources: Path, folder: Path) -> None:
    try:
        with tarfile.open(sources) as archive:
            members = archive.getmembers()
            for member in members:
                parts = Path(member.name).parts
                if not member.isfile() or ".." in parts or Path(member.name).is_absolute():
                    raise InputError(f"{sources}: holds {member.name!r}, expected plain files inside; compile it again")
            archive.extractall(folder, members)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"{sources}: is not a readable archive ({error}); copy the bundle again") from error


def _run(command: List[str], environment: Dict[str, str]) -> None:
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",  # compilers quote in UTF-8 whatever the locale of the board is
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = "\n  ".join(line for line in done.stdout.splitlines() if line.strip()).split("\n  ")[-_SHOWN_LINES:]
        raise TargetError(
            f"the plugin could not be compiled: `{' '.join(command)}` ended with {done.returncode}:\n  "
            + "\n  ".join(last)
            + "\nexpected CMake 3.18, a C++17 compiler, CUDA's nvcc and TensorRT's headers; on a Jetson run `sudo apt "
            "install nvidia-jetpack cmake g++`, elsewhere set TENSORRT_ROOT and CUDACXX"
        )
