"""What is wrong with a board or with the way to it: one sentence each, with exit code 3, before anything is sent."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sanp.pipeline import on_board
from sanp.pipeline.on_board import check, check_instructions, measuring_s, self_test_there
from sanp.pipeline.profile import profile_bundle
from sanp.remote import connection
from sanp.remote.board import Board, Ran
from sanp.remote.files import of_bytes
from sanp.settings.profile import ProfileSettings
from sanp.settings.remote import RemotePart
from sanp_runtime.board import frames
from sanp_runtime.bundle.reader import open_bundle
from sanp_targets.errors import ConfigError, InputError, TargetError, ValidationError
from sanp_targets.processor import processor
from sanp_targets.targets import resolve


def refuses(remote: RemotePart, pattern: str, **changes: object) -> str:
    """Opening the board fails with a TargetError of three parts."""
    with pytest.raises(TargetError, match=pattern) as error, Board(remote.model_copy(update=changes)):
        pass
    text = str(error.value)
    assert error.value.exit_code == 3 and "\n" not in text and "expected" in text and ";" in text
    return text


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_an_unknown_host_key(remote, sshd, tmp_path):
    (tmp_path / "known_hosts").write_text("")
    ssh = f"{remote.ssh} -o UserKnownHostsFile={tmp_path}/known_hosts"
    refuses(remote, "its host key is not known.*compare the fingerprint", ssh=ssh)
    assert (tmp_path / "known_hosts").read_text() == "", "nobody was trusted"


def test_another_host_key(remote, sshd, tmp_path):
    kind, key = (sshd.folder / "user_key.pub").read_text().split()[:2]
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    ssh = f"{remote.ssh} -o UserKnownHostsFile={tmp_path}/known_hosts"
    refuses(remote, "another one than ssh knows.*ssh-keygen -R", ssh=ssh)


def test_a_login_that_is_refused(remote, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    config = Path(shlex.split(remote.ssh)[-1]).read_text()
    lines = [line for line in config.splitlines() if "IdentityFile" not in line]
    (tmp_path / "config").write_text("\n".join([*lines, f"    IdentityFile {tmp_path}/other"]))
    refuses(remote, "refused the login.*Permission denied.*ssh-copy-id board", ssh=f"ssh -F {tmp_path}/config")


def test_nobody_there(remote):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refuses(remote, "does not answer.*refused", ssh=f"{remote.ssh} -p {free.getsockname()[1]}")
    refuses(remote, "there is no such name", ssh="ssh -F none", host="no-such-board.invalid")


def test_no_answer(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "SILENCE_S", 0.5)
    refuses(remote, "did not answer in time", ssh=script(tmp_path / "ssh", "sleep 60"))


def test_no_ssh(remote):
    refuses(remote, "'/nowhere/ssh' cannot be run.*openssh-client", ssh="/nowhere/ssh")


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "", " board"])
def test_a_host_is_no_option(host):
    with pytest.raises(ConfigError, match=r"\[profile.remote\] host is"):
        ProfileSettings.checked(host=host)


def test_missing_python(remote, tmp_path):
    refuses(remote, "has no 'python9'.*not found.*--board-python", board_python="python9")
    (tmp_path / "plain").write_text("")
    refuses(remote, "has no '/.*/plain'.*ermission denied", board_python=str(tmp_path / "plain"))
    refuses(remote, "ended with 3 before it answered", board_python=script(tmp_path / "broken", "exit 3"))


def test_old_python(remote, tmp_path):
    """A Python that says 3.6 of itself; the program that is sent has to be careful before it knows."""
    start = "import sys; sys.version_info = (3, 6, 9); exec(sys.stdin.buffer.read(int(sys.argv[1])))"
    old = script(tmp_path / "python3.6", f'exec {sys.executable} -c "{start}" "$3"')
    refuses(remote, "is Python 3.6, expected 3.8", board_python=old)


def test_missing_numpy(remote, tiny):
    bare = remote.model_copy(update={"board_python": f"{sys.executable} -S"})
    with pytest.raises(TargetError, match=r"has no numpy, expected it there; run `.* -m pip install numpy`"):
        profile_bundle(tiny, ProfileSettings(remote=bare))


def test_missing_onnxruntime(remote, tiny, tmp_path):
    import numpy as np

    for name in ("numpy", "numpy.libs"):
        source = Path(np.__file__).parents[1] / name
        if source.exists():
            (tmp_path / name).symlink_to(source)
    python = f"env PYTHONPATH={tmp_path} {sys.executable} -S"
    with pytest.raises(TargetError, match="has no onnxruntime"):
        profile_bundle(tiny, ProfileSettings(remote=remote.model_copy(update={"board_python": python})))


def test_wrong_architecture(remote, tiny):
    manifest = open_bundle(tiny).manifest
    other = dataclasses.replace(manifest, target={"name": "arm64-cpu", "backend": "onnxruntime", "arch": "aarch64"})
    with (
        Board(remote) as board,
        pytest.raises(TargetError, match="is x86_64, and the bundle is for arm64-cpu, expected"),
    ):
        check(board, other)


def test_instructions_that_the_board_lacks(remote):
    target = resolve("x86-cpu")
    with Board(remote) as board:
        check_instructions(board, target)
        own = dataclasses.replace(target, isa=(processor()["isa"][0],))
        check_instructions(board, own)
        other = dataclasses.replace(target, name="next-year", isa=("avx1024",))
        with pytest.raises(TargetError, match=r"board: is .*, which has no avx1024, expected avx1024 for next-year"):
            check_instructions(board, other)


def test_a_measurement_longer_than_the_board_may_take(remote, tiny):
    short = ProfileSettings(duration=20, remote=remote.model_copy(update={"board_timeout": 20.0}))
    with pytest.raises(ConfigError, match=r"duration is 20 s and board_timeout 20 s.*raise --board-timeout"):
        profile_bundle(tiny, short)
    twice = ProfileSettings(duration=15, budgets=True, remote=short.remote)
    with pytest.raises(ConfigError, match=r"duration is 15 s, 30 s with what else was asked for, and board_timeout 20"):
        profile_bundle(tiny, twice)


def test_how_long_a_profile_measures(tiny):
    """Energy: a window for each variant and one of the idle machine, three seconds at least."""
    manifest = open_bundle(tiny).manifest
    assert len(manifest.measured) == 3
    assert measuring_s(manifest, ProfileSettings(duration=30)) == 30
    assert measuring_s(manifest, ProfileSettings(duration=30, energy=True)) == 30 + 4 * 10
    assert measuring_s(manifest, ProfileSettings(duration=6, energy=True, budgets=True)) == 6 + 6 + 4 * 3


def test_engines_that_are_not_built(remote, tiny):
    manifest = open_bundle(tiny).manifest
    other = dataclasses.replace(manifest, target={"name": "x86-cuda", "backend": "tensorrt", "arch": "x86_64"})
    with Board(remote) as board:
        with pytest.raises(TargetError, match=r"has no engines yet.*--target x86-cuda --host board"):
            check(board, other)
        check(board, other, built=False)


def test_two_runs_at_once(remote, monkeypatch, tmp_path):
    monkeypatch.setattr(connection, "WAIT_S", 0.3)
    elsewhere = remote.model_copy(update={"board_folder": str(tmp_path / "elsewhere")})
    with Board(remote) as board:
        text = refuses(elsewhere, "is in use by process")
        assert board.run(["-c", "import os; print(os.getppid())"], {}).output.decode().strip() in text
    with Board(elsewhere):
        pass


def test_a_folder_that_cannot_be_used(remote, tmp_path):
    (tmp_path / "file").write_text("")
    refuses(remote, "cannot be used .Not a directory.*--board-folder", board_folder=f"{tmp_path}/file/cache")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of 2 MB with few files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=12", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk is mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_seen_before(remote, small_disk):
    own = remote.model_copy(update={"board_folder": str(small_disk / "cache")})
    with (
        pytest.raises(TargetError, match=r"is full \(5.0 MB to write, 2.1 MB free\).*rm -r /\S*/cache/objects`"),
        Board(own) as board,
    ):
        board.send({"large": of_bytes(bytes(5_000_000))})
    assert list((small_disk / "cache" / "objects").iterdir()) == []


def test_a_disk_that_becomes_full(remote, small_disk):
    """No room for another file, which no number of free bytes tells."""
    own = remote.model_copy(update={"board_folder": str(small_disk / "cache")})
    files = {str(index): of_bytes(str(index).encode()) for index in range(20)}
    with pytest.raises(TargetError, match="is full"), Board(own) as board:
        board.send(files)
    assert all(path.suffix == "" for path in (small_disk / "cache" / "objects").iterdir()), "no beginning is left"
    with Board(own) as board:
        assert board.run(["-c", "print(7)"], {}).output == b"7\n"


def test_errors_of_the_board_are_errors_here(remote, tiny, tmp_path):
    bundle = open_bundle(tiny)
    with Board(remote) as board:
        assert self_test_there(board, bundle)["passed"]
        broken = board.remote = remote.model_copy(update={"board_python": f"{sys.executable} -S"})
        with pytest.raises(TargetError, match="ended with 1, expected a result"):
            self_test_there(board, bundle)
        board.remote = broken.model_copy(update={"board_python": script(tmp_path / "killed", "kill -9 $$")})
        with pytest.raises(TargetError, match=r"ended by SIGKILL.*too little memory"):
            self_test_there(board, bundle)
        board.remote = broken.model_copy(update={"board_python": script(tmp_path / "noisy", "echo hello")})
        with pytest.raises(InputError, match="the answer is not JSON"):
            self_test_there(board, bundle)


def test_a_budget_that_fails_there(remote, tiny, monkeypatch):
    bundle = open_bundle(tiny)
    with Board(remote) as board:
        row = self_test_there(board, bundle)
        row["budgets"] = [{**row["L1"], "budget": budget, "passed": budget == 1.0} for budget in (1.0, 0.7)]
        row["budgets"][1]["summary"] = "4 of 96 decisions differ"
        ran = Ran(ValidationError.exit_code, json.dumps(row).encode(), ())
        monkeypatch.setattr(on_board, "_run", lambda *arguments, **keywords: ran)
        with pytest.raises(ValidationError, match=r"failed in budget 0.7, expected .* \(4 of 96 decisions differ\)"):
            self_test_there(board, bundle)


def test_what_a_login_shell_prints_is_passed():
    import io

    stream = io.BytesIO(b"Welcome\nlogin: never" + frames.MAGIC + b'{"op":"beat","size":2}\nab{"op":"x","size":9}\n')
    assert frames.skip_to_magic(stream) == b"Welcome\nlogin: never"
    assert frames.read(stream) == ({"op": "beat"}, b"ab")
    assert frames.read(stream) is None, "a message that was cut off"
    assert frames.skip_to_magic(io.BytesIO(b"This account is not available.\n")) is None
    with pytest.raises(ValueError, match="is not a message"):
        frames.read(io.BytesIO(b'{"op":"x","size":-1}\n'))


def test_a_machine_that_is_several_boards(remote, monkeypatch, tmp_path):
    monkeypatch.setattr(connection, "WAIT_S", 0.0)
    second = remote.model_copy(
        update={
            "board_python": f"env SANP_BOARD_LOCK=second-{os.getpid()} {sys.executable}",
            "board_folder": str(tmp_path / "second"),
        }
    )
    with Board(remote), Board(second) as board:
        assert board.run(["-c", "print(7)"], {}).output == b"7\n"
