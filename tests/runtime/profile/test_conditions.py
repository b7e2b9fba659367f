"""A profile holds the conditions that were asked for, and says so: doubles of NVIDIA's tools and of a power rail."""

from __future__ import annotations

import functools
import json

import pytest

from sanp_runtime.cli import main
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.profile import energy as profile_energy
from sanp_runtime.profile.profile import profile
from sanp_runtime.profile.text import profile_lines
from sanp_targets.controls import held
from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.power import Meter, NoPower
from sanp_targets.power_mode import power_mode
from tests.fakes import jetson_tools
from tests.targets.conftest import JETSON, plant

PLAIN = EngineOptions(library=None)


@pytest.fixture
def board(tmp_path, monkeypatch):
    """The tree of a Jetson that the controls of a profile act on."""
    root = plant(tmp_path / "root", JETSON)
    jetson_tools.install(tmp_path / "tools", root, monkeypatch)
    monkeypatch.setattr("sanp_runtime.profile.profile.held", functools.partial(held, root=root))
    return root


def test_power_mode_and_clocks_are_held_and_set_back(board, pristine):
    result = profile(pristine, PLAIN, duration_s=0.05, power_mode="MAXN_SUPER", fix_clocks=True).to_json()
    json.dumps(result, allow_nan=False)
    assert (result["power_mode"]["name"], result["power_mode"]["before"]) == ("MAXN_SUPER", "15W")
    assert result["controls"] == {"clocks_fixed_by": "jetson_clocks", "not_restored": []}
    lines = profile_lines(result)
    assert "power mode: MAXN_SUPER, set back to 15W" in lines
    assert "clocks fixed by jetson_clocks for the measurement" in lines
    assert power_mode(board) == "15W" and jetson_tools.calls(board)[-2:] == ["jetson_clocks --restore", "nvpmodel -m 0"]


def test_set_back_when_the_measurement_fails(board, pristine):
    with pytest.raises(ConfigError):
        profile(pristine, PLAIN, duration_s=-1, power_mode="25W")
    assert power_mode(board) == "15W" and jetson_tools.calls(board) == ["nvpmodel -m 1", "nvpmodel -m 0"]


def test_what_could_not_be_set_back_is_in_the_result(board, pristine, monkeypatch):
    run = "sanp_runtime.profile.profile._run"
    original = __import__("sanp_runtime.profile.profile", fromlist=["_run"])._run
    monkeypatch.setattr(run, lambda *args, **named: (original(*args, **named), plant(board, {"stuck": ""}))[0])
    result = profile(pristine, PLAIN, duration_s=0.05, power_mode="25W").to_json()
    assert "nvpmodel -m 0 failed" in result["controls"]["not_restored"][0]
    assert any(line.startswith("not set back: ") for line in profile_lines(result))


def test_nothing_is_touched_unless_it_is_asked_for(board, pristine):
    result = profile(pristine, PLAIN, duration_s=0.05).to_json()
    assert jetson_tools.calls(board) == [] and result["energy"] is None
    assert result["power_mode"]["before"] is None and "power mode: 15W" in profile_lines(result)
    assert set(result["stalls"]) == set(result["variants"])
    assert all(row["calls"] == result["variants"][name]["latency"]["count"] for name, row in result["stalls"].items())


def test_energy_of_every_variant(pristine, monkeypatch):
    meter = Meter("double", "power", lambda: {"VDD_IN": 5000.0}, ("VDD_IN",), note="a double")
    monkeypatch.setattr(profile_energy, "find_meter", lambda **asked: meter)
    monkeypatch.setattr(profile_energy, "MIN_WINDOW_S", 0.3)
    monkeypatch.setattr("sanp_runtime.measure.energy.MIN_SAMPLES", 2)
    result = profile(pristine, PLAIN, duration_s=0.05, batch=3, energy=True).to_json()
    json.dumps(result, allow_nan=False)
    found = result["energy"]
    assert (found["meter"], found["total"], set(found["variants"])) == ("double", "VDD_IN", set(result["variants"]))
    for row in found["variants"].values():
        assert row["inferences"] == 3 * row["calls"] and row["watts"] == 5.0
        assert row["inference_j"] == pytest.approx(5.0 * row["window_s"] / row["inferences"])
        assert row["above_idle_j"] == pytest.approx(0.0)
    assert sum("mJ per inference" in line for line in profile_lines(result)) == 3


def test_energy_without_a_rail_is_missing_and_not_zero(pristine, monkeypatch):
    def none(**asked):
        raise NoPower("no rail here")

    monkeypatch.setattr(profile_energy, "find_meter", none)
    result = profile(pristine, PLAIN, duration_s=0.05, energy=True).to_json()
    found = result["energy"]
    assert (found["meter"], found["total"], found["idle"], found["variants"]) == (None, None, None, {})
    assert found["missing"] == "no rail here"
    assert "energy: no rail here" in profile_lines(result)


def test_a_bundle_that_is_not_on_a_jetson(pristine, monkeypatch, capsys):
    """Both command lines have the options; on this machine there is no nvpmodel to set."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("sanp_targets.controls.command._FOLDERS", "/nonexistent")
    assert main(["profile", str(pristine), "--plain", "--power-mode", "15W"]) == 3
    assert "has no nvpmodel, expected a Jetson" in capsys.readouterr().err
    with pytest.raises(TargetError, match="has no nvpmodel"):
        profile(pristine, PLAIN, duration_s=0.05, power_mode="15W")
