"""The CUDA emulator itself: it runs kernels right, and the mistakes that it is there for end the program."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.native.cuda_emulated import ROOT, build_emulated

pytestmark = pytest.mark.slow

SOURCE = ROOT / "runtime/native/tests/cuda/emulator_test.cc"


def cases() -> list[str]:
    """Names from the source, so that collection needs no build."""
    table = SOURCE.read_text().split("kCases[] = {")[1].split("};")[0]
    return [line.split('"')[1] for line in table.splitlines() if '"' in line]


@pytest.mark.parametrize("case", cases())
def test_emulator(case):
    program = build_emulated().path.parent / "sanp_cuda_emulator_test"
    done = subprocess.run([program, case], capture_output=True, text=True, check=False)
    if case.startswith("crash_"):
        assert done.returncode < 0 or "runtime error" in done.stderr, done.stderr
        assert done.returncode == -signal.SIGSEGV or done.stderr.strip(), "it says what is wrong"
    else:
        assert done.returncode == 0, done.stderr
