"""Compiling the plugin on the device: CMake on the sources in the bundle, and what a user reads when it fails."""

from __future__ import annotations

import io
import shutil
import tarfile

import pytest

from sanp_runtime.engines.tensorrt.plugin import compile_plugin, load_plugin
from sanp_targets.errors import InputError, TargetError

CMAKE = """cmake_minimum_required(VERSION 3.18)
project(stub LANGUAGES C)
%s
add_library(sanp_trt MODULE ../cuda/stub.c)
"""
GOOD = {"trt/CMakeLists.txt": CMAKE % "", "cuda/stub.c": "int sanp_trt_register(void) { return 2; }\n"}


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def cmake():
    if shutil.which("cmake") is None or shutil.which("cc") is None:
        pytest.skip("there is no CMake or no C compiler to build the plugin with")


def test_compiles_and_loads(cmake, tmp_path, monkeypatch):
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.plugin._LOADED", {})
    monkeypatch.setenv("TENSORRT_ROOT", str(tmp_path))
    library = compile_plugin(pack(tmp_path / "s.tar.gz", GOOD), tmp_path / "out", "87")
    load_plugin(library)
    cache = (tmp_path / "out/build/CMakeCache.txt").read_text()
    assert f"TENSORRT_ROOT:UNINITIALIZED={tmp_path}" in cache and "CMAKE_CUDA_ARCHITECTURES:UNINITIALIZED=87" in cache


@pytest.mark.parametrize(
    ("cmake_line", "source", "said"),
    [
        ('message(FATAL_ERROR "NvInferRuntime.h was not found")', "", r"NvInferRuntime\.h was not found"),
        ("", "int sanp_trt_register(void) { return missing_word; }\n", "missing_word"),
    ],
    ids=["configure", "compile"],
)
def test_a_failing_build_shows_its_last_lines_and_a_cure(cmake, tmp_path, cmake_line, source, said):
    files = {"trt/CMakeLists.txt": CMAKE % cmake_line, "cuda/stub.c": source}
    with pytest.raises(TargetError, match=r"could not be compiled: `cmake") as error:
        compile_plugin(pack(tmp_path / "s.tar.gz", files), tmp_path / "out")
    text = str(error.value)
    assert said.replace("\\", "") in text and "nvidia-jetpack" in text and len(text.splitlines()) < 22


def test_no_cmake(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="apt install cmake"):
        compile_plugin(pack(tmp_path / "s.tar.gz", GOOD), tmp_path / "out")


def test_damaged_or_hostile_sources(cmake, tmp_path):
    (tmp_path / "cut.tar.gz").write_bytes(pack(tmp_path / "s.tar.gz", GOOD).read_bytes()[:60])
    with pytest.raises(InputError, match="not a readable archive"):
        compile_plugin(tmp_path / "cut.tar.gz", tmp_path / "out")
    for name in ("../escape.c", "/absolute.c"):
        with pytest.raises(InputError, match="expected plain files inside"):
            compile_plugin(pack(tmp_path / "bad.tar.gz", {**GOOD, name: "x"}), tmp_path / "out")
    assert not (tmp_path / "escape.c").exists()
