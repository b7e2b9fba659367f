"""Power mode and clocks of a board over SSH: set there, and set back however the connection ends."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from sanp.pipeline import on_board
from sanp.pipeline.profile import profile_bundle
from sanp.settings.profile import ProfileSettings
from sanp_targets.controls.held import RESTORE_S
from sanp_targets.errors import TargetError
from tests.fakes import jetson_tools
from tests.support.waiting import wait_for
from tests.targets.conftest import JETSON, plant

# Read by every Python of the board when it starts: the files of a Jetson that power modes and clocks are about.
_SHOWS_TREE = """
import pathlib
_read, _root, _shown = pathlib.Path.read_bytes, {root!r}, {shown!r}
def read_bytes(self):
    return _read(pathlib.Path(_root + str(self)) if str(self) in _shown else self)
pathlib.Path.read_bytes = read_bytes
"""
_SHOWN = ("/etc/nvpmodel.conf", "/etc/nv_tegra_release", "/var/lib/nvpmodel/status")
_LOWEST = "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq"


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", JETSON)


@pytest.fixture
def board(remote, tree, tmp_path, monkeypatch):
    """A board whose nvpmodel and jetson_clocks are doubles that act on `tree`; each takes half a second to set back."""
    slow = {
        "nvpmodel": jetson_tools.NVPMODEL.replace("[ ! -e", "[ $2 != 0 ] || sleep 0.5\n[ ! -e", 1),
        "jetson_clocks": jetson_tools.JETSON_CLOCKS.replace("--restore) ", "--restore) sleep 0.5; "),
    }
    with monkeypatch.context() as here:
        tools = jetson_tools.install(tmp_path / "tools", tree, here, **slow)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SHOWS_TREE.format(root=str(tree), shown=_SHOWN))
    python = f"env PATH={tools}:$PATH PYTHONPATH={site}:$PYTHONPATH {sys.executable}"
    return remote.model_copy(update={"board_python": python, "board_folder": str(tmp_path / "cache")})


def settings(board, **more) -> ProfileSettings:
    return ProfileSettings(power_mode="25W", fix_clocks=True, remote=board, **more)


def state(tree: Path) -> tuple[str, str]:
    return (tree / "var/lib/nvpmodel/status").read_text().strip(), (tree / _LOWEST).read_text().strip()


CALLS = ["nvpmodel -m 1", "jetson_clocks --store", "jetson_clocks ", "jetson_clocks --restore", "nvpmodel -m 0"]


def test_set_for_a_profile_and_set_back(board, tiny, tree):
    before = state(tree)
    found = profile_bundle(tiny, settings(board, duration=0.1))
    assert found["power_mode"]["name"] == "25W" and found["power_mode"]["before"] == "15W", json.dumps(found)
    assert found["controls"] == {"clocks_fixed_by": "jetson_clocks", "not_restored": []}
    assert jetson_tools.calls(tree) == CALLS and state(tree) == before


def test_set_back_after_a_lost_connection(board, tiny, tree, sshd, monkeypatch):
    """The tools take longer than a command gets that holds nothing."""
    monkeypatch.setattr(on_board, "GRACE_S", 0.2)
    before = state(tree)

    def cut():
        wait_for(lambda: "jetson_clocks " in jetson_tools.calls(tree), 30)
        assert state(tree) != before
        sshd.drop()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(TargetError, match="the connection was lost while measuring"):
        profile_bundle(tiny, settings(board, duration=600))
    thread.join()
    wait_for(lambda: state(tree) == before and not list(Path(board.board_folder).glob("run-*")))
    assert jetson_tools.calls(tree) == CALLS


def test_a_run_that_holds_nothing_gets_no_longer():
    assert on_board.grace_s(ProfileSettings()) == on_board.GRACE_S
    for held in ({"power_mode": "25W"}, {"fix_clocks": True}):
        assert on_board.grace_s(ProfileSettings(**held)) == on_board.GRACE_S + RESTORE_S
