"""Builds and runs the C++ tests of the kernels; see runtime/native/tests/cpu."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native import native_build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def program() -> Path:
    """Built once into build/native-tests, so that the next run of the tests only compiles what changed."""
    return native_build.kernel_test("native-tests")


def cases() -> list[str]:
    """Names of the C++ cases, read from their sources so that collection needs no build."""
    text = "".join(p.read_text() for p in sorted((native_build.NATIVE / "tests/cpu").glob("test_*.cc")))
    return [line.split("(")[1].split(")")[0] for line in text.splitlines() if line.startswith("TEST_CASE(")]


@pytest.mark.parametrize("case", cases())
def test_kernels(program, case):
    done = subprocess.run([program, "--only", case], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cases_are_those_of_the_program(program):
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(listed) == sorted(cases())


def test_the_library_needs_nothing_but_libc_and_libgcc():
    """libgcc_s is wherever ONNX Runtime is, which needs it too; a static copy would ask for glibc 2.35."""
    from sanp_runtime.engines.onnxruntime.library import find_library

    if shutil.which("readelf") is None:
        pytest.skip("readelf is missing")
    text = subprocess.run(["readelf", "-d", find_library()], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].split("]")[0] for line in text.splitlines() if "(NEEDED)" in line]
    assert not [
        n for n in needed if not n.startswith(("libc.so", "libgcc_s.so", "libm.so", "ld-linux", "libpthread.so"))
    ], needed


def test_only_the_documented_symbols_are_exported():
    from sanp_runtime.engines.onnxruntime.library import find_library

    if shutil.which("nm") is None:
        pytest.skip("nm is missing")
    command = ["nm", "-D", "--defined-only", find_library()]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert sorted(line.split()[-1] for line in text.splitlines()) == [
        "RegisterCustomOps", "sanp_ops_algorithms", "sanp_ops_isa", "sanp_ops_settings", "sanp_ops_version",
    ]  # fmt: skip
