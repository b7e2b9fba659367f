"""A damaged library is refused in words. Each is loaded in a process of its own, because the loader may kill it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sanp_runtime.engines.load import load
from sanp_runtime.engines.onnxruntime.session import open_session
from sanp_runtime.engines.shared_object import check_shared_object
from sanp_runtime.engines.tensorrt.plugin import load_plugin
from sanp_targets.errors import TargetError

ROOT = Path(__file__).parents[3]
REFUSED = 33
LOAD = f"""
import sys
from sanp_runtime.engines.onnxruntime.library import OpLibrary
from sanp_targets.errors import TargetError
try:
    OpLibrary(sys.argv[1]).settings
except TargetError as error:
    print(error)
    sys.exit({REFUSED})
"""


def _load_alone(path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "runtime"), str(ROOT / "targets")])}
    command = [sys.executable, "-c", LOAD, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _blank(content: bytes, start: float, end: float) -> bytes:
    first, last = int(len(content) * start), int(len(content) * end)
    return content[:first] + bytes(last - first) + content[last:]


@pytest.mark.parametrize("share", [0.0, 0.00003, 0.01, 0.5, 0.9, 0.99999])
def test_a_truncated_library_is_refused(native_library, tmp_path, share):
    content = native_library.read_bytes()
    (tmp_path / "short.so").write_bytes(content[: int(len(content) * share)])
    done = _load_alone(tmp_path / "short.so")
    assert done.returncode == REFUSED, (done.returncode, done.stderr)
    assert "short.so: cannot be loaded on this machine" in done.stdout and "compile the bundle again" in done.stdout


@pytest.mark.parametrize("part", [(0, 0.5), (0.5, 1), (0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1), (0.01, 0.99)])
def test_a_library_with_blank_parts_is_refused(native_library, tmp_path, part):
    (tmp_path / "blank.so").write_bytes(_blank(native_library.read_bytes(), *part))
    done = _load_alone(tmp_path / "blank.so")
    assert done.returncode == REFUSED, (done.returncode, done.stderr)


def test_lost_blocks_never_kill_the_process(native_library, tmp_path):
    """Blocks of 4 KiB, as a file system loses them: refused, or harmless when loaded."""
    content = native_library.read_bytes()
    refused = 0
    for at in range(0, len(content), len(content) // 24 // 4096 * 4096):
        (tmp_path / "lost.so").write_bytes(content[:at] + bytes(4096) + content[at + 4096 :])
        done = _load_alone(tmp_path / "lost.so")
        assert done.returncode in (0, REFUSED), (at, done.returncode, done.stderr)
        refused += done.returncode == REFUSED
    assert refused > 15, "most of the library is code"


def test_whoever_loads_a_library_asks_first(native_library, pristine, tmp_path):
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(_blank(native_library.read_bytes(), 0.5, 1))
    for attempt in (
        lambda: load(pristine, library=damaged),
        lambda: open_session(pristine / "gated.onnx", 1, damaged),
        lambda: load_plugin(damaged),
    ):
        with pytest.raises(TargetError, match="expected a complete shared object"):
            attempt()


def test_a_library_of_another_processor_is_named(native_library, tmp_path):
    content = bytearray(native_library.read_bytes())
    own = content[18]
    content[18:20] = (183 if own != 183 else 62).to_bytes(2, "little")
    (tmp_path / "other.so").write_bytes(content)
    with pytest.raises(TargetError, match=r"it is for \w+ with 64 bits, this process is \w+ with 64 bits"):
        check_shared_object(tmp_path / "other.so")


def test_whole_libraries_pass(native_library):
    check_shared_object(native_library)
    for path in sorted(Path(sys.prefix).rglob("numpy/**/*.so"))[:20]:
        check_shared_object(path)
