"""The C++ tests of the kernels with sanitizers; a file of its own, because test processes share work by files."""

from __future__ import annotations

import subprocess

import pytest

from tests.native import native_build

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("sanitizers", "only", "fewer"),
    [("address,undefined", "", "12"), ("thread", "concurrent_runs", "4"), ("thread", "thread", "4")],
)
def test_sanitizers(sanitizers, only, fewer):
    """Out-of-bounds, undefined behaviour and data races; the build takes minutes."""
    program = native_build.kernel_test(
        f"native-tests-{sanitizers.replace(',', '-')}", f"-DSANP_NATIVE_SANITIZE={sanitizers}"
    )
    # Some of the random shapes: all of them take six minutes. Every kernel has a case of its own besides.
    done = subprocess.run([program, "--only", only, "--fewer", fewer], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
