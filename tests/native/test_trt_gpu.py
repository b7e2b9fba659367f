"""The TensorRT plugin on a GPU without TensorRT: the program that plays TensorRT, CUDA kernels and device memory.

The same cases as on the host, and launches captured into a CUDA graph. `make test-gpu` runs it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.native import trt_build

pytestmark = pytest.mark.gpu

TREES = trt_build.header_trees()


def has_device() -> bool:
    """A discrete GPU or that of a Jetson."""
    return any(Path("/dev", name).exists() for name in ("nvidia0", "nvhost-gpu", "nvgpu"))


def architecture() -> list[str]:
    """Compile for this GPU only where PyTorch knows it; the default list takes some minutes longer."""
    try:
        import torch

        major, minor = torch.cuda.get_device_capability()
    except (ImportError, RuntimeError, AssertionError):
        return []
    return [f"-DCMAKE_CUDA_ARCHITECTURES={major}{minor}"]


def installed_headers() -> bool:
    """Whether a package put the headers where CMake finds them by itself."""
    return any(Path("/usr/include").glob("**/NvInferRuntime.h"))


@pytest.mark.parametrize("interface", ["V2", "V3"])
def test_plugins_on_the_gpu(interface):
    if not has_device():
        pytest.skip("no CUDA device")
    if not TREES and not installed_headers():
        pytest.skip(trt_build.HEADERS_HINT)
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin")
    if nvcc is None:
        pytest.skip("nvcc is missing; install the CUDA toolkit")
    # Installed headers are those of this machine's TensorRT; of several trees the first that has the interface serves.
    tree = next((path for path in TREES.values() if interface == "V2" or trt_build.major_version(path) >= 10), None)
    if tree is None and TREES:
        pytest.skip("IPluginV3 needs headers of TensorRT 10 or later")
    options = [
        "-DSANP_TRT_MOCK=ON", "-DSANP_TRT_DEVICE=ON", f"-DSANP_TRT_V2={'ON' if interface == 'V2' else 'OFF'}",
        f"-DTENSORRT_ROOT={tree or ''}", f"-DCMAKE_CUDA_COMPILER={nvcc}", *architecture(),
    ]  # fmt: skip
    folder = trt_build.build(trt_build.ROOT / f"build/trt-gpu-{interface}", *options)
    command = [folder / "sanp_trt_mock", folder / "trt/libsanp_trt.so", folder / "trt/libsanp_trt_creators.so"]
    assert trt_build.run(command).endswith(" passed, 0 failed\n")
