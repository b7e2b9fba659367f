"""The CUDA kernels compile: for every architecture of the library, and with the compiler of CUDA 11 for its boards."""

from __future__ import annotations

import os
import shutil
import subprocess
from ctypes import byref
from pathlib import Path

import pytest

from benchmarks.gpu.cuda_library import FLOAT16, ORIN, CudaLibrary, Device, describe
from tests.native import native_build
from tests.native.cuda_emulated import ROOT, build_emulated
from tests.native.cuda_nvrtc import RuntimeCompiler, install

pytestmark = pytest.mark.slow

CUDA = ROOT / "runtime/native/cuda"


def find_nvcc() -> Path | None:
    """From the path or where the toolkit installs itself."""
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    found = shutil.which("nvcc") or shutil.which("nvcc", path=str(toolkit / "bin"))
    return Path(found) if found else None


@pytest.fixture(scope="module")
def library() -> Path:
    """libsanp_cuda.so for the default architectures, in build/cuda; a later run compiles only what changed."""
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("nvcc is missing; the library was not built for a GPU")
    folder = native_build.build("cuda", f"-DCMAKE_CUDA_COMPILER={nvcc}", source=CUDA, forbid="spill")
    return folder / "libsanp_cuda.so"


def test_the_library_builds_and_needs_no_cuda_library(library):
    """The runtime is inside: the library loads where no GPU and no driver is, and says so."""
    text = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].split("]")[0] for line in text.splitlines() if "(NEEDED)" in line]
    known = ("libc.so", "libm.so", "ld-linux", "libpthread.so", "libdl.so", "librt.so")
    assert not [n for n in needed if not n.startswith(known)], needed


def test_only_the_interface_is_exported(library):
    text = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = sorted(line.split()[-1] for line in text.splitlines())
    header = (CUDA / "sanp_cuda.h").read_text()
    assert exported
    assert all(name.startswith("sanp_cuda_") and f"{name}(" in header for name in exported), exported


def test_plans_do_not_need_a_gpu(library):
    """The library for GPUs plans like the emulated one, and says what is missing when it is asked for the device."""
    real, emulated = CudaLibrary(library), build_emulated()
    for conv in (describe(64, 64, 56), describe(512, 512, 7, type=FLOAT16), describe(8, 8, 5, group=8)):
        assert [bytes(p) for p in real.candidates(conv, ORIN)] == [bytes(p) for p in emulated.candidates(conv, ORIN)]
    status = real.handle.sanp_cuda_device(byref(Device()))
    assert status >= 0
    assert real.handle.sanp_cuda_message(status)


@pytest.mark.parametrize("architecture", ["sm_72", "sm_87"])
def test_boards_with_an_old_toolkit_compile(architecture):
    """Xavier has no ldmatrix and no m16n8k16; there the tensor core kernels are empty and never planned."""
    if architecture == "sm_87" and find_nvcc() is not None:
        pytest.skip("nvcc compiles it; this takes 20 seconds")
    compiler = RuntimeCompiler(install(ROOT / "build/nvrtc-11.7"))
    source = """
        #include "cuda/conv/direct.h"
        #include "cuda/conv/gather.h"
        #include "cuda/conv/halo.h"
        #include "cuda/conv/packed/pack.h"
        #include "cuda/conv/packed/packed.h"
        #include "cuda/conv/packed/planes.h"
        #include "cuda/conv/pointwise.h"
        #include "cuda/conv/simt.h"
        #include "cuda/conv/split.h"
        #include "cuda/gate/means.h"
        #include "cuda/gate/one_block.h"
        namespace sanp { namespace cuda {
        #define SANP_CONV_KERNEL(kind, type, m, n, threads, ...) template __global__ void __VA_ARGS__(const ConvArgs);
        #define SANP_PACKED_KERNEL(kind, type, m, n, threads, ...) \
          template __global__ void __VA_ARGS__(const PackedConvArgs);
        #include "cuda/conv/kernels.inc"
        template __global__ void add_slices<float>(const ConvArgs);
        template __global__ void add_slices<Half>(const ConvArgs);
        template __global__ void gate_means<Half, kShortAhead>(const GateArgs);
        template __global__ void gate_long_means<Half>(const GateArgs);
        template __global__ void gate_one_block<Half, true>(const GateArgs);
        } }
    """
    assert compiler.cubin(source, architecture, [CUDA.parent]).startswith(b"\x7fELF")
