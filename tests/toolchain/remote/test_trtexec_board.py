"""A board with trtexec and Python alone, played by a double of trtexec and of the CUDA runtime behind a real sshd."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sanp.pipeline.on_board import build_there, profile_there, self_test_there
from sanp.remote.board import Board
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_targets.errors import TargetError
from tests.fakes.trtexec_program import install
from tests.support import tiny_tensorrt

ENGINES = {f"{name}.engine" for name in ("gated", "open", "replay", "dense")}


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    return tiny_tensorrt.write(tmp_path_factory.mktemp("portable") / "net.sanp", plugin=()).path


@pytest.fixture
def own(portable, tmp_path):
    """A copy that a build may replace."""
    return open_bundle(shutil.copytree(portable, tmp_path / "net.sanp"))


@pytest.fixture
def trtexec_board(remote, tmp_path):
    (tmp_path / "board").mkdir()
    return remote.model_copy(update={"board_python": install(tmp_path / "board", "10.3.0")})


@pytest.mark.slow
def test_engines_are_built_there_and_come_back(trtexec_board, own, tmp_path):
    said: list[str] = []
    with Board(trtexec_board, said.append) as board:
        row, built = build_there(board, own)
    assert row["fingerprint"]["gpu"] == "NVIDIA Double" and row["fingerprint"]["tool"] == "trtexec"
    assert built.manifest.engines_built and open_bundle(own.path).digest() == built.digest()
    assert set(own.manifest.files) | ENGINES == set(built.manifest.files)
    assert any("building gated" in line for line in said), "what the board says is told as it comes"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    if os.environ.get("SANP_TRTEXEC_BOARD") != "1":
        return  # a process for every call, which takes a minute
    said.clear()
    with Board(trtexec_board, said.append) as board:
        assert self_test_there(board, built)["passed"]
        profile = profile_there(board, built, ProfileSettings(duration=0.01))
    assert profile["device"]["accelerator"]["gpu"] == "NVIDIA Double"
    assert profile["bundle"]["digest"] == built.digest()
    assert not [line for line in said if line.startswith("sending")], "the engines stayed there"


def test_a_build_that_fails_leaves_the_bundle(trtexec_board, own, tmp_path):
    program = '#!/bin/sh\necho "[TensorRT v100300]"\n[ "$1" = --help ] || exit 9\n'
    (tmp_path / "board" / "trtexec").write_text(program)
    with pytest.raises(TargetError, match=r"board: `.*trtexec .*` ended with 9"), Board(trtexec_board) as board:
        build_there(board, own)
    assert open_bundle(own.path).digest() == own.digest()
    assert not list(Path(trtexec_board.board_folder).glob("run-*"))


def test_no_tensorrt_at_all(remote, own):
    with pytest.raises(TargetError, match=r"board: .*tensorrt"), Board(remote) as board:
        build_there(board, own)
