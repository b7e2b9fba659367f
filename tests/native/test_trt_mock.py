"""The TensorRT plugin libraries against every set of public headers: they compile, load, and serve a program that plays
TensorRT. Needs TENSORRT_ROOT; `make test-tensorrt` says how to get it.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native import trt_build

TREES = trt_build.header_trees()
CASES = trt_build.cases("mock_lifecycle.cc", "mock_hostile.cc", "mock_loading.cc")


def variants() -> list[tuple[str, bool, str]]:
    """(tree, whether the V2 interface, sanitizers): V2 everywhere, V3 where it exists, each once under sanitizers."""
    plain = [
        (tree, v2, "") for tree in TREES for v2 in (True, False) if v2 or trt_build.major_version(TREES[tree]) >= 10
    ]
    checked = {v2: (tree, v2, "address,undefined") for tree, v2, _ in plain}
    return plain + list(checked.values())


VARIANTS = variants() or [
    pytest.param(("", False, ""), marks=pytest.mark.skip(reason=trt_build.HEADERS_HINT)),
]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda v: f"{v[0]}-V{3 - v[1]}{'-sanitized' if v[2] else ''}")
def folder(request) -> Path:
    """A build of the libraries and the program against one tree; compiling is half of the test."""
    tree, v2, sanitizers = request.param
    trt_build.cuda_headers()
    name = f"build/trt-mock/{tree}-V{3 - v2}{'-sanitized' if sanitizers else ''}"
    options = [
        "-DSANP_TRT_MOCK=ON", f"-DTENSORRT_ROOT={TREES[tree]}", f"-DSANP_TRT_V2={'ON' if v2 else 'OFF'}",
        f"-DSANP_TRT_SANITIZE={sanitizers}",
    ]  # fmt: skip
    return trt_build.build(trt_build.ROOT / name, *options)


def libraries(folder: Path) -> list[Path]:
    """libsanp_trt.so and, from TensorRT 8.6 on, libsanp_trt_creators.so."""
    return sorted((folder / "trt").glob("libsanp_trt*.so"))


def test_lifecycle_and_hostile_input(folder):
    """Every C++ case: parse, build, save, load, run and compare; bad fields, engines, shapes and networks."""
    command = [folder / "sanp_trt_mock", folder / "trt/libsanp_trt.so", folder / "trt/libsanp_trt_creators.so"]
    listed = trt_build.run([*command, "--list"]).split()
    # 8.5 has no entry points, and only V3 can be built without a device.
    assert set(CASES) - set(listed) <= {"entry_points", "engine_built_without_a_device"}
    text = trt_build.run(command)
    assert text.endswith(f"{len(listed)} passed, 0 failed\n"), text[-3000:]


def test_nothing_links_to_tensorrt(folder):
    if shutil.which("readelf") is None or shutil.which("nm") is None:
        pytest.skip("readelf or nm is missing")
    for library in libraries(folder):
        needed = re.findall(r"NEEDED.*\[(.*)\]", trt_build.run(["readelf", "-d", library]))
        assert needed, library
        assert not [n for n in needed if re.search("nvinfer|nvonnxparser|tensorrt|cud", n)], needed
        undefined = trt_build.run(["nm", "-D", "--undefined-only", library])
        assert "getPluginRegistry" not in undefined, library
        assert "nvinfer1" not in undefined, undefined


def test_only_the_documented_symbols_are_exported(folder):
    if shutil.which("nm") is None:
        pytest.skip("nm is missing")
    for library in libraries(folder):
        text = trt_build.run(["nm", "-D", "--defined-only", library])
        names = {
            line.split()[-1] for line in text.splitlines() if not line.split()[-1].startswith(("__", "_ZTI", "_ZTS"))
        }
        entry_points = {"getPluginCreators", "setLoggerFinder"}, {"getCreators", "setLoggerFinder"}
        assert names == {"sanp_trt_register"} or names in entry_points, names


def test_loading_without_tensorrt_is_harmless(folder):
    if "sanitized" in folder.name:
        pytest.skip("a sanitized library needs its runtime loaded first")
    library = ctypes.CDLL(str(folder / "trt/libsanp_trt.so"), mode=os.RTLD_LOCAL)
    assert library.sanp_trt_register() == 0


def test_the_command_of_the_guide_configures(tmp_path):
    """The real project with its default architectures; compiling the kernels is what the CUDA tests do."""
    if not TREES:
        pytest.skip(trt_build.HEADERS_HINT)
    if shutil.which("nvcc") is None and not Path("/usr/local/cuda/bin/nvcc").is_file():
        pytest.skip("nvcc is missing; install the CUDA toolkit")
    tree = next(iter(TREES.values()))
    trt_build.run(["cmake", "-S", trt_build.PLUGIN, "-B", tmp_path, f"-DTENSORRT_ROOT={tree}"])


@pytest.mark.parametrize(("options", "hint"), [("-DTENSORRT_ROOT=/nonexistent", "TENSORRT_ROOT='/nonexistent'")])
def test_missing_headers_are_explained(tmp_path, options, hint):
    if shutil.which("cmake") is None:
        pytest.skip("cmake is missing")
    command = ["cmake", "-S", trt_build.PLUGIN, "-B", tmp_path, options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    text = " ".join(done.stderr.split())
    assert "NvInferRuntime.h was not found" in text, done.stderr
    assert hint in text, done.stderr
    assert "libnvinfer-headers-dev" in text, done.stderr
