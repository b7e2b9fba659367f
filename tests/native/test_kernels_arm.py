"""The C++ tests of the NEON kernels, cross-compiled and run by an emulator."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.native import native_build

pytestmark = pytest.mark.slow


def test_arm_under_emulation():
    """The NEON kernels, cross-compiled; emulation proves the results and says nothing about speed."""
    emulator, compiler = "qemu-aarch64-static", "aarch64-linux-gnu-g++"
    if shutil.which(emulator) is None or shutil.which(compiler) is None:
        pytest.skip(f"{emulator} or {compiler} is missing")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={native_build.NATIVE / 'toolchains/aarch64-linux-gnu.cmake'}"
    program = native_build.kernel_test("native-tests-aarch64", toolchain)
    # A few of the random shapes: all of them take nine minutes. Every kernel has a case of its own besides.
    command = [emulator, "-L", "/usr/aarch64-linux-gnu", program, "--fewer", "32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
