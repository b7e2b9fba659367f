"""The double of trtexec as a program, and of the CUDA runtime as a library: a board that has nothing else.

`FakeTrtexec` executes the graphs in ONNX Runtime, so the numbers are real; that it is TensorRT is played.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from tests.fakes.cuda import FakeCudart
from tests.fakes.trtexec import FakeTrtexec

_ROOT = Path(__file__).parents[2]
_CUDART = """
#include <string.h>
int cudaStreamCreate(void** stream) { *stream = (void*)4096; return 0; }
int cudaStreamDestroy(void* stream) { (void)stream; return 0; }
int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  *value = attribute == 16 ? 8 : attribute == 75 ? 8 : 7;
  return 0;
}
int cudaGetDeviceProperties(void* properties, int device) {
  (void)device;
  strcpy((char*)properties, "NVIDIA Double");
  return 0;
}
int cudaRuntimeGetVersion(int* version) { *version = 12060; return 0; }
int cudaDriverGetVersion(int* version) { *version = 12060; return 0; }
const char* cudaGetErrorString(int status) { (void)status; return "an error of the double"; }
"""


def install(folder: Path, version: str) -> str:
    """Make a folder that plays a board with trtexec of a version; the words that start Python there."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a stand-in for the CUDA runtime")
    source = folder / "cudart.c"
    source.write_text(_CUDART)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / "libcudart.so"), str(source)], check=True)
    paths = os.pathsep.join([str(_ROOT), *(str(_ROOT / name) for name in ("export", "runtime", "targets"))])
    program = folder / "trtexec"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={paths} exec {sys.executable} -m tests.fakes.trtexec_program {version} "$@"\n'
    )
    program.chmod(0o755)
    return f"env PATH={folder}:/usr/bin:/bin LD_LIBRARY_PATH={folder} {sys.executable}"


def main(version: str, *arguments: str) -> int:
    """What trtexec does with its command line, and prints."""
    major, minor, patch = (int(part) for part in version.split("."))
    number = major * 10000 + minor * 100 + patch if major >= 10 else major * 1000 + minor * 100 + patch
    print(f"&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] # trtexec {' '.join(arguments)}")
    if arguments == ("--help",):
        return 0
    try:
        FakeTrtexec(version, FakeCudart())(Path("trtexec"), arguments)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
