"""The TensorRT plugin without TensorRT: attributes, blobs, shapes, launches, under sanitizers; see tests/trt."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.native import trt_build

pytestmark = pytest.mark.slow

CASES = trt_build.cases("core_fields.cc", "core_operation.cc", "core_shapes.cc")


@pytest.fixture(scope="module")
def program() -> Path:
    options = ("-DSANP_TRT_SANITIZE=address,undefined", "-DSANP_TRT_MOCK=OFF")
    folder = trt_build.build(trt_build.ROOT / "build/trt-core-tests", *options, target="sanp_trt_core_test")
    return folder / "sanp_trt_core_test"


@pytest.mark.parametrize("case", CASES)
def test_core(program, case):
    done = subprocess.run([program, "--only", case], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cases_are_those_of_the_program(program):
    assert sorted(trt_build.run([program, "--list"]).split()) == sorted(CASES)
