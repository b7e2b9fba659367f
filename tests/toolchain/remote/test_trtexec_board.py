"""A board with trtexec and Python alone, played by a double of trtexec and of the CUDA runtime behind a real sshd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sanp.pipeline.on_board import build_there, profile_there, self_test_there
from sanp.remote.board import Board
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_targets.errors import TargetError
from tests.fakes.trtexec_program import install
from tests.support import tiny_tensorrt


@pytest.fixture
def trtexec_board(remote, tmp_path):
    folder = tmp_path / "board"
    folder.mkdir()
    return remote.model_copy(update={"board_python": install(folder, "10.3.0")})


def test_engines_are_built_there_and_come_back(trtexec_board, tmp_path):
    portable = tiny_tensorrt.write(tmp_path / "net.sanp", plugin=())
    said: list[str] = []
    with Board(trtexec_board, said.append) as board:
        row, built = build_there(board, portable)
    assert row["fingerprint"]["gpu"] == "NVIDIA Double" and row["fingerprint"]["tool"] == "trtexec"
    assert built.manifest.engines_built and open_bundle(tmp_path / "net.sanp").digest() == built.digest()
    assert {f"{name}.engine" for name in ("gated", "open", "replay", "dense")} <= set(built.manifest.files)
    assert any("building gated" in line for line in said), "what the board says is told as it comes"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    said.clear()
    with Board(trtexec_board, said.append) as board:
        assert self_test_there(board, built)["passed"]
        profile = profile_there(board, built, ProfileSettings(duration=0.01))
    assert profile["device"]["accelerator"] and profile["bundle"]["digest"] == built.digest()
    sizes = [line for line in said if line.startswith("sending")]
    assert len(sizes) == 1 and sizes[0].startswith("sending 1 files"), "the manifest alone: engines stayed there"
    json.dumps(profile)


def test_a_build_that_fails_leaves_the_bundle(trtexec_board, tmp_path):
    Path(trtexec_board.board_python.split("PATH=")[1].split(":")[0], "trtexec").write_text(
        '#!/bin/sh\necho "[TensorRT v100300]"\n[ "$1" = --help ] || exit 9\n'
    )
    portable = tiny_tensorrt.write(tmp_path / "net.sanp", plugin=())
    before = portable.digest()
    with pytest.raises(TargetError, match=r"board: `.*trtexec .*` ended with 9"), Board(trtexec_board) as board:
        build_there(board, portable)
    assert open_bundle(tmp_path / "net.sanp").digest() == before


def test_no_tensorrt_at_all(remote, tmp_path):
    portable = tiny_tensorrt.write(tmp_path / "net.sanp", plugin=())
    with pytest.raises(TargetError, match=r"board: .*tensorrt"), Board(remote) as board:
        build_there(board, portable)
