"""Connections that end: nothing runs on, nothing is half-written, and the next run goes on where this one stopped."""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sanp.remote import connection
from sanp.remote.board import Board
from sanp.remote.files import of_bytes, of_code
from sanp_runtime.board import frames
from sanp_runtime.board import store as board_store
from sanp_runtime.board.server import Server
from sanp_runtime.board.store import Store
from sanp_targets.errors import TargetError
from tests.support.loopback_sshd import alive
from tests.support.waiting import wait_for

# Starts a process of its own, as trtexec and compilers do, says both ids, and stays.
STAYS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


@pytest.fixture
def own(remote, tmp_path):
    """A board with nothing on it."""
    return remote.model_copy(update={"board_folder": str(tmp_path / "cache")})


def content(megabytes=24):
    return of_bytes(np.random.default_rng(0).bytes(megabytes << 20))


def started(path: Path) -> list[int]:
    wait_for(lambda: path.exists() and len(path.read_text().split()) == 2)
    return [int(word) for word in path.read_text().split()]


def runs(folder) -> list[Path]:
    return list(Path(folder).glob("run-*"))


def test_a_transfer_goes_on(own, sshd):
    large, folder = content(), Path(own.board_folder)
    part = folder / "objects" / f"{large.sha256}.part"

    def cut():
        wait_for(lambda: part.exists() and part.stat().st_size > 4 << 20)
        sshd.drop()

    thread = threading.Thread(target=cut)
    thread.start()
    with (
        pytest.raises(TargetError, match=r"board: .* was lost while sending files.*run the command again"),
        Board(own) as board,
    ):
        board.send({"large": large})
    thread.join()
    wait_for(lambda: not runs(folder))
    have = part.stat().st_size
    assert 4 << 20 < have < large.size and not part.with_suffix("").exists()

    said: list[str] = []
    with Board(own, said.append) as board:
        board.send({"large": large})
        assert not part.exists() and part.with_suffix("").read_bytes() == large.source
        board.send({"large": large})
    assert len(said) == 1 and said[0].endswith("going on where it was cut off")
    assert f"{(large.size - have) / 1e6:.1f} MB" in said[0]


def test_a_run_ends_with_its_connection(own, sshd, tmp_path):
    ids = tmp_path / "ids"
    found: list[int] = []

    def cut():
        found.extend(started(ids))
        sshd.drop()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(TargetError, match="the connection was lost while measuring"), Board(own) as board:
        board.run(["-c", STAYS, str(ids)], {}, "measuring")
    thread.join()
    wait_for(lambda: not any(alive(pid) for pid in found))
    wait_for(lambda: not runs(own.board_folder))
    with Board(own) as board:  # the lock is free again
        assert board.run(["-c", "print(7)"], {}).output == b"7\n"


def test_ssh_that_is_killed_here(own, tmp_path):
    ids = tmp_path / "ids"
    with pytest.raises(TargetError, match="the connection was lost"), Board(own) as board:

        def kill():
            started(ids)
            board._connection._process.kill()

        threading.Thread(target=kill).start()
        board.run(["-c", STAYS, str(ids)], {})
    wait_for(lambda: not any(alive(pid) for pid in started(ids)))


@pytest.fixture
def pulled(sshd, monkeypatch):
    """A function that stops sshd when a condition holds, so that nothing comes and nothing goes; no system tells."""
    monkeypatch.setattr(connection, "SILENCE_S", 1.5)
    monkeypatch.setattr(connection, "BEAT_S", 0.3)
    stopped: list[int] = []

    def pull(condition):
        wait_for(condition)
        for pid in sshd.sessions():
            if "sshd" in Path(f"/proc/{pid}/comm").read_text():
                stopped.append(pid)
                os.kill(pid, signal.SIGSTOP)

    yield lambda condition: threading.Thread(target=pull, args=(condition,)).start()
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)


def test_a_cable_that_is_pulled_while_it_runs(own, pulled, tmp_path):
    ids = tmp_path / "ids"
    pulled(lambda: started(ids))
    with pytest.raises(TargetError, match=r"nothing was heard for 1.5 s while running"), Board(own) as board:
        board.run(["-c", STAYS, str(ids)], {})
    wait_for(lambda: not any(alive(pid) for pid in started(ids)))
    wait_for(lambda: not runs(own.board_folder))


def test_a_cable_that_is_pulled_while_files_go(own, pulled):
    """The writing side is held up then: it does not come to listen."""
    large = content()
    part = Path(own.board_folder) / "objects" / f"{large.sha256}.part"
    pulled(lambda: part.exists() and part.stat().st_size > 2 << 20)
    with pytest.raises(TargetError, match=r"nothing was heard for 1.5 s while sending files"), Board(own) as board:
        board.send({"large": large})
    wait_for(lambda: not runs(own.board_folder))
    assert 2 << 20 < part.stat().st_size < large.size


def test_it_may_take_its_time_while_both_sides_are_there(own, monkeypatch):
    monkeypatch.setattr(connection, "SILENCE_S", 0.8)
    monkeypatch.setattr(connection, "BEAT_S", 0.1)
    with Board(own) as board:
        assert board.run(["-c", "import time; time.sleep(1.5); print(7)"], {}).output == b"7\n"


def test_closing_at_once_waits_for_no_dead_link(remote, tmp_path):
    """ssh takes nothing any more, and a message is on its way."""
    (tmp_path / "ssh").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ssh").chmod(0o755)
    link = connection.Connection(remote.model_copy(update={"ssh": str(tmp_path / "ssh")}))
    link.__enter__()

    def write():
        with contextlib.suppress(OSError, ValueError):
            link._write({"op": "put"}, bytes(1 << 20))

    threads = [threading.Thread(target=target, daemon=True) for target in (write, link.close)]
    threads[0].start()
    wait_for(link._writing.locked)
    time.sleep(0.2)  # until the pipe is full
    threads[1].start()
    try:
        for thread in reversed(threads):
            thread.join(5)
            assert not thread.is_alive()
    finally:
        link._process.kill()


STOPS_SLOWLY = """
import sys, time
open(sys.argv[1], "w").write("on")
try:
    time.sleep(600)
finally:
    time.sleep(1)
    open(sys.argv[1], "w").write("restored")
"""


def test_a_second_signal_stops_no_end(tmp_path):
    """A board that shuts down sends SIGTERM to all, and SIGHUP when the session of the login ends."""
    marks, cache = tmp_path / "marks", tmp_path / "cache"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SANP_BOARD_LOCK": f"signals-{os.getpid()}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", "from sanp_runtime.board.server import main; main()"], stdin=pipe, stdout=pipe, env=env
    ) as process:
        frames.skip_to_magic(process.stdout)
        head = {"folder": str(cache), "keep": True, "wait_s": 0, "beat_s": 60, "silence_s": 60}
        frames.write(process.stdin, {"op": "open", **head})
        assert frames.read(process.stdout)[0]["op"] == "open"
        run = {"python": sys.executable, "arguments": ["-c", STOPS_SLOWLY, str(marks)], "timeout_s": 60, "grace_s": 10}
        frames.write(process.stdin, {"op": "run", "files": {}, **run})
        wait_for(lambda: marks.exists() and marks.read_text() == "on")
        assert len(runs(cache)) == 1
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)
            time.sleep(0.2)
        assert process.wait(timeout=10) == 1
    assert marks.read_text() == "restored" and runs(cache) == []


def test_ctrl_c_comes_before_force(own, tmp_path):
    """A command gets the chance to give back clocks and power mode."""
    marks = tmp_path / "marks"
    text = "import sys, time\np = sys.argv[1]\nopen(p, 'w').write('on')\ntry:\n    time.sleep(600)\nfinally:\n    " \
           "open(p, 'w').write('restored')"  # fmt: skip
    slow = own.model_copy(update={"board_timeout": 1.0})
    with pytest.raises(TargetError, match=r"not end in 1 s and was stopped.*--board-timeout"), Board(slow) as board:
        board.run(["-c", text, str(marks)], {})
    assert marks.read_text() == "restored"


def test_what_a_command_leaves_behind_is_ended(own, tmp_path):
    text = "import subprocess, sys\nprint(subprocess.Popen(['sleep', '600']).pid)"
    with Board(own) as board:
        left = int(board.run(["-c", text], {}).output)
        wait_for(lambda: not alive(left))


def test_damage_is_noticed_and_mended(own):
    large, folder = content(1), Path(own.board_folder)
    path = folder / "objects" / large.sha256
    said: list[str] = []
    with Board(own, said.append) as board:
        board.send({"large": large})
        path.write_bytes(large.source[:-1] + b"x")
        board.send({"large": large})
        assert path.read_bytes() == large.source
        path.unlink()
        path.with_name(path.name + ".part").write_bytes(b"not the beginning of it")
        board.send({"large": large})
    assert path.read_bytes() == large.source
    assert [line.split(", to")[0] for line in said] == ["sending 1 files, 1.0 MB"] * 3


def test_nothing_is_kept_if_asked(own):
    with Board(own.model_copy(update={"keep": False})) as board:
        board.send({"one": of_bytes(b"1")})
        assert (Path(own.board_folder) / "objects").is_dir()
    wait_for(lambda: not Path(own.board_folder).exists())


def test_what_was_sent_is_for_its_owner_alone(tmp_path):
    """Also in a folder that others read, and where it was sent before."""
    (tmp_path / "objects").mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    store = Store(tmp_path)
    store.lay_out({})
    for path in (tmp_path / "objects", store.run):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_what_nobody_uses_is_removed(tmp_path):
    old, new = of_bytes(b"old"), of_bytes(b"new")
    first = Store(tmp_path / "cache")
    for sent in (old, new):
        assert first.put(sent.sha256, sent.size, 0, sent.source)
        past = time.time() - (board_store.KEEP_DAYS + 1) * 86_400
        os.utime(tmp_path / "cache" / "objects" / sent.sha256, (past, past))
    assert first.held(new.sha256, new.size) == 3  # a use
    second = Store(tmp_path / "cache")
    assert (second.held(old.sha256, 3), second.held(new.sha256, 3)) == (0, 3)


def test_a_run_sees_only_what_it_was_given(own):
    look = "import os; print(sorted(os.listdir('.')), open('a/b.txt').read(), os.path.getsize('empty'))"
    links = "import os; print(os.stat('a/b.txt').st_nlink); open('a/b.txt', 'w').write('other')"
    files = {"a/b.txt": of_bytes(b"text"), "empty": of_bytes(b"")}
    with Board(own) as board:
        assert board.run(["-c", look], files).output == b"['a', 'empty', 'tmp'] text 0\n"
        assert board.run(["-c", links], files).output == b"1\n"
        assert board.run(["-c", look], files).output.endswith(b"text 0\n"), "what a command writes stays in its run"
        code = of_code()
        there = board.run(["-c", "import sanp_runtime; print(sanp_runtime.__file__)"], code).output.decode()
    assert there.startswith(own.board_folder) and "/code/sanp_runtime/__init__.py" in there


def test_a_slow_disk_is_no_silence(monkeypatch, tmp_path):
    """The board's side may hash a file for longer than the other side may be silent, and does not give up meanwhile."""
    incoming, outgoing, sent = io.BytesIO(), io.BytesIO(), of_bytes(b"1")
    frames.write(incoming, {"op": "have", "files": [(sent.sha256, 1)]})
    incoming.seek(0)
    server = Server(incoming, outgoing)
    server._store = Store(tmp_path / "cache")
    assert server._store.put(sent.sha256, 1, 0, b"1")
    heard = []
    monkeypatch.setattr(board_store, "hash_of", lambda path: heard.append(server._heard) or sent.sha256)
    server.serve()
    outgoing.seek(0)
    assert frames.read(outgoing) == ({"op": "have", "bytes": [1]}, b"")
    assert heard == [math.inf] and server._heard <= time.monotonic()
