"""Files are written whole, and what a killed process left of one goes with the next write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from sanp_runtime.bundle.files import write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from sanp_runtime.bundle import files
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomically(Path(sys.argv[1]), b"half")
"""


def killed_while_writing(path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = path.parent.glob(f".{path.name}.*")
    return left


def aged(path):
    then = time.time() - 120
    os.utime(path, (then, then))
    return path


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    target = tmp_path / "state.safetensors"
    aged(killed_while_writing(target))
    write_atomically(target, b"whole")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"whole"


def test_what_may_still_be_written_stays(tmp_path):
    target = tmp_path / "state.safetensors"
    young = killed_while_writing(target)
    living = tmp_path / f".{target.name}.{os.getpid()}-abc"
    living.write_bytes(b"half")
    aged(living)
    other = tmp_path / ".state.safetensors.index.json.1-x"
    other.write_bytes(b"of another file")
    aged(other)
    write_atomically(target, b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {target.name, young.name, living.name, other.name}
