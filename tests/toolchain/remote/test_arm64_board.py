"""The whole way to an arm64 board: a library that was cross-built, and an arm64 Python that an emulator runs.

Opt-in, because nothing installs such a Python: SANP_ARM64_PYTHON is the command that starts one with numpy and
onnxruntime, such as "qemu-aarch64-static -cpu max -L ROOT -E PYTHONHOME=ROOT/usr ROOT/usr/bin/python3.11", where ROOT
holds unpacked Debian packages of arm64, and ROOT/usr/lib/python3/dist-packages unpacked wheels. SANP_ARM64_LIBRARY is
the operator library, if it was built before. Times under emulation mean nothing; everything else is what a board does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.validate import validate_on_board
from sanp.settings.validate import ValidateSettings

NATIVE = Path(__file__).parents[3] / "runtime" / "native"
PYTHON = os.environ.get("SANP_ARM64_PYTHON", "")


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("arm64") / "model.onnx"
    export(trained, path, samples=8)
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """SANP_ARM64_LIBRARY, or what docs/boards.md says how to build."""
    given = os.environ.get("SANP_ARM64_LIBRARY")
    if given:
        return Path(given)
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("there is no aarch64-linux-gnu-g++")
    build = tmp_path_factory.mktemp("build")
    toolchain = NATIVE / "toolchains" / "aarch64-linux-gnu.cmake"
    configure = ["cmake", "-S", str(NATIVE), "-B", str(build), f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"]
    subprocess.run([*configure, "-DCMAKE_BUILD_TYPE=Release"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build), "--target", "sanp_ops", "-j2"], check=True, capture_output=True)
    return build / "libsanp_ops.so"


@pytest.mark.skipif(not PYTHON, reason="SANP_ARM64_PYTHON names no arm64 Python")
def test_compile_validate_profile(model, library, trained, remote, tmp_path):
    there = {"host": remote.host, "ssh": remote.ssh, "board_python": PYTHON, "board_folder": remote.board_folder}
    made = compile_model(model, tmp_path / "m.sanp", library=library, **there)
    manifest = made.bundle.manifest
    assert manifest.target["name"] == "arm64-cpu", "the target is the processor of the board"
    assert made.proof is not None and made.proof.passed and made.proof.isa == "neon"
    assert made.record["self_test"]["passed"]
    row = validate_on_board(made.bundle.path, trained, ValidateSettings.checked(limit=16, **there))
    assert row["passed"] and row["samples"] == 16 and row["proof"]["isa"] == "neon"
    profile = profile_bundle(made.bundle.path, duration=0.5, allow_invalid=True, **there)
    assert profile["device"]["arch"] == "aarch64" and profile["library"]["isa"] == "neon"
    assert profile["macs"]["gated_mean"] < profile["macs"]["dense"]
