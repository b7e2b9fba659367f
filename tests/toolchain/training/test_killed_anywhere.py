"""A run that is killed in the middle of anything, and resumed, ends with the weights of one that never was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.toolchain.training import killing


@pytest.mark.slow
def test_killed_at_steps_and_inside_saves_it_ends_with_the_same_bits(tmp_path):
    """Every 13th event meets each kind: a step and its save are six. Stride 1 is the trial of docs/training.md."""
    done = subprocess.run(
        [sys.executable, "-m", killing.__name__, str(tmp_path), "1", "13"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert not found["other"], found
    assert set(found["kinds"]) == {name for _, name in killing.EVENTS} and found["events"] > 90
