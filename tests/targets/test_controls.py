"""Power modes and fixed clocks are held and set back whatever happens: doubles of NVIDIA's tools, and fake trees."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from sanp_targets.controls import held
from sanp_targets.device import fingerprint
from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.power_mode import active_mode, describe_power_mode, power_mode, power_modes
from tests.fakes import jetson_tools
from tests.targets.conftest import plant

POLICY = "sys/devices/system/cpu/cpufreq/policy"
PATH = [str(Path(__file__).parents[2] / "targets")]


@pytest.fixture
def board(jetson, tmp_path, monkeypatch):
    jetson_tools.install(tmp_path / "tools", jetson, monkeypatch)
    return jetson


def state(root):
    files = sorted(root.glob(POLICY + "*/scaling_[gm]*"))
    return {str(path.relative_to(root)): path.read_text().strip() for path in files} | {"mode": power_mode(root)}


def test_modes_are_known_by_name(board):
    assert power_modes(board) == {0: "15W", 1: "25W", 2: "MAXN_SUPER", 3: "7W"}
    assert (active_mode(board), power_mode(board)) == (0, "15W") and fingerprint(board)["power_mode"] == "15W"
    plant(board, {"var/lib/nvpmodel/status": "pmode:0002 fmode:quiet\n"})
    assert describe_power_mode(board) == {"id": 2, "name": "MAXN_SUPER", "names": ["15W", "25W", "7W", "MAXN_SUPER"]}
    plant(board, {"var/lib/nvpmodel/status": "pmode:0009\n"})
    assert power_mode(board) == "pmode:0009" and describe_power_mode(board)["name"] is None


def test_a_machine_without_modes_has_none(desktop):
    assert power_mode(desktop) is None and describe_power_mode(desktop) is None
    with held(root=desktop) as found:
        assert found.to_json() == {"power_mode": None, "controls": {"clocks_fixed_by": None, "not_restored": []}}


def test_a_mode_is_set_and_set_back(board):
    with held("maxn_super", root=board) as found:
        assert power_mode(board) == "MAXN_SUPER"
        assert found.to_json()["power_mode"] == {"before": "15W", "id": 2, "name": "MAXN_SUPER",
                                                 "names": ["15W", "25W", "7W", "MAXN_SUPER"]}  # fmt: skip
    assert power_mode(board) == "15W" and jetson_tools.calls(board) == ["nvpmodel -m 2", "nvpmodel -m 0"]
    with held("15W", root=board):
        assert len(jetson_tools.calls(board)) == 2, "the active mode is not set again"


def test_clocks_of_a_jetson(board):
    before = state(board)
    with held("25W", fix_clocks=True, root=board) as found:
        assert state(board)[POLICY + "0/scaling_min_freq"] == "1510400" and found.clocks == "jetson_clocks"
    assert state(board) == before
    assert jetson_tools.calls(board) == [
        "nvpmodel -m 1", "jetson_clocks --store", "jetson_clocks ", "jetson_clocks --restore", "nvpmodel -m 0"
    ], "clocks within the mode"  # fmt: skip


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_set_back_after_an_exception(board, error):
    before = state(board)
    with pytest.raises(error), held("25W", fix_clocks=True, root=board):
        assert state(board) != before
        raise error
    assert state(board) == before


def test_names_that_do_not_exist(board):
    with pytest.raises(ConfigError, match=r"no power mode 'MAXN', expected one of 15W, .*did you mean 'MAXN_SUPER'"):
        held("MAXN", root=board).__enter__()
    assert jetson_tools.calls(board) == []


def test_a_mode_that_needs_a_restart_changes_nothing(board):
    with pytest.raises(
        TargetError, match="the power mode is 15W after nvpmodel -m 3, expected 7W: this change needs a"
    ):
        held("7W", root=board).__enter__()
    assert power_mode(board) == "15W"


def test_a_tool_that_fails_is_quoted(board):
    plant(board, {"stuck": ""})
    with pytest.raises(
        TargetError, match=r"nvpmodel -m 1 failed \(NVPM ERROR: Error opening .*run this command as root"
    ):
        held("25W", root=board).__enter__()


def test_what_cannot_be_set_back_is_said_and_the_block_is_not_lost(board, capsys):
    with held("25W", root=board) as found:
        plant(board, {"stuck": ""})
    assert "nvpmodel -m 0 failed" in found.to_json()["controls"]["not_restored"][0]
    assert "the machine was not set back" in capsys.readouterr().err


def test_the_clocks_of_before_are_kept_where_they_cannot_be_set_back(board, monkeypatch):
    """Not in TMPDIR: on a board that is removed with the run."""
    folder = Path(os.environ["PATH"].split(os.pathsep)[0])
    (board / "run").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(board / "run"))
    with held(fix_clocks=True, root=board) as found:
        script = folder / "jetson_clocks"
        script.write_text(script.read_text().replace("--restore) ", "--restore) echo no luck >&2; exit 1; "))
    (problem,) = found.problems
    stored = Path(re.search(r"`sudo jetson_clocks --restore (\S+)`", problem).group(1))
    try:
        assert "no luck" in problem and stored.read_text() == "115200\n"
        assert board not in stored.parents and list((board / "run").iterdir()) == []
    finally:
        shutil.rmtree(stored.parent)


def test_other_machines_have_no_power_mode(desktop, monkeypatch):
    monkeypatch.setenv("PATH", str(desktop))
    with pytest.raises(TargetError, match="this machine has no nvpmodel, expected a Jetson"):
        held("15W", root=desktop).__enter__()


CPUFREQ = {
    f"{POLICY}{i}/{name}": text
    for i in range(2)
    for name, text in {
        "scaling_governor": "schedutil\n",
        "scaling_min_freq": "400000\n",
        "scaling_max_freq": "3000000\n",
        "scaling_available_governors": "performance schedutil powersave\n",
    }.items()
}


@pytest.fixture
def cpufreq(desktop):
    return plant(desktop, CPUFREQ)


def test_clocks_by_cpufreq(cpufreq):
    before = state(cpufreq)
    with held(fix_clocks=True, root=cpufreq) as found:
        assert found.clocks == "cpufreq" and fingerprint(cpufreq)["governor"] == "performance"
        assert {row["min_mhz"] for row in fingerprint(cpufreq)["frequency"]} == {3000.0}
    assert state(cpufreq) == before


def test_a_change_that_fails_half_way_is_taken_back(cpufreq):
    before = state(cpufreq)
    plant(cpufreq, {f"{POLICY}1/scaling_available_governors": "powersave\n"})
    with pytest.raises(TargetError, match="policy1 offers the governors powersave, expected performance"):
        held(fix_clocks=True, root=cpufreq).__enter__()
    assert state(cpufreq) == before


def test_files_that_cannot_be_written(cpufreq, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(
        TargetError, match=r"/sys/.*scaling_governor cannot be set to performance \(Permission denied\)"
    ):
        held(fix_clocks=True, root=cpufreq).__enter__()


def test_where_there_is_no_clock_to_fix(desktop):
    path = desktop / "proc/cpuinfo"
    path.write_text(path.read_text().replace("fma", "fma hypervisor"))
    with pytest.raises(TargetError, match=r"no clock can be fixed here \(virtual machine\)"):
        held(fix_clocks=True, root=desktop).__enter__()


HOLD = """
import sys, time
from sanp_targets.controls import held
with held("25W", fix_clocks=True, root=sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_set_back_too(board, number):
    before = state(board)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATH)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(board)], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout.readline() == "held\n" and state(board) != before
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
    assert state(board) == before


def slow_nvpmodel():
    """The double of nvpmodel takes a while."""
    tool = Path(os.environ["PATH"].split(os.pathsep)[0]) / "nvpmodel"
    tool.write_text(tool.read_text().replace("#!/bin/sh\n", "#!/bin/sh\nsleep 0.3\n"))


def test_a_second_signal_does_not_disturb_setting_back(board):
    """nvpmodel takes a while; the signal that comes meanwhile waits."""
    before = state(board)
    slow_nvpmodel()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATH)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(board)], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGTERM)
        time.sleep(0.15)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert state(board) == before


def test_ctrl_c_for_a_whole_group_does_not_end_the_tools_that_set_back(board):
    """As a board stops a run whose connection was lost: the signal reaches nvpmodel too, which must go on."""
    before = state(board)
    slow_nvpmodel()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATH)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(board)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.15)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) != 0
    assert state(board) == before


def test_signals_are_those_of_before(board):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    with held("25W", root=board):
        assert signal.getsignal(signal.SIGTERM) != handlers[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == handlers


def test_another_thread_can_hold_too(board):
    problems = []

    def work():
        try:
            with held("25W", root=board):
                assert power_mode(board) == "25W"
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert problems == [] and power_mode(board) == "15W"
