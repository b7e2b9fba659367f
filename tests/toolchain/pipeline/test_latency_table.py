"""`sanp profile --table` and `--predicted-by`: what is told before a measurement, what after it, and what is kept."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sanp.cli.app import main
from sanp.pipeline import on_board
from sanp.pipeline.compare.deployment import profile_cell
from sanp.pipeline.compare.matrix import plan
from sanp.pipeline.latency import measure_latency_table
from sanp.pipeline.profile import profile_bundle
from sanp.settings.compare import CompareSettings
from sanp.settings.profile import ProfileSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.latency.measure import measure_table
from sanp_runtime.latency.table import read_table
from sanp_targets.errors import ConfigError


@pytest.fixture(scope="module")
def table(tiny):
    return measure_table(tiny, duration_s=0.1, points=16)


@pytest.fixture
def other(table, tmp_path):
    """The path of a table of another device."""
    path = tmp_path / "other.json"
    replace(table, device_id="elsewhere", device_name="another machine").save(path)
    return path


def test_a_profile_that_cannot_be_predicted_is_not_measured(tiny, table, tmp_path, monkeypatch):
    table.save(tmp_path / "table.json")

    def profile(*given, **settings):
        raise AssertionError("it was measured")

    monkeypatch.setattr("sanp.pipeline.profile.profile", profile)
    with pytest.raises(ConfigError, match="batch = 2 here and batch = 1 in the latency table of tiny"):
        profile_bundle(tiny, predicted_by=tmp_path / "table.json", batch=2)


def test_a_profile_is_kept_when_its_device_is_another(tiny, other, table, tmp_path):
    """The measurement is in the file before it is told that the table is of another device."""
    output = tmp_path / "profile.json"
    with pytest.raises(ConfigError, match=r"measured on another machine.*the profile is in .*profile\.json"):
        profile_bundle(tiny, output=output, predicted_by=other, duration=0.05)
    found = json.loads(output.read_text())
    assert found["kind"] == "profile" and "prediction" not in found
    table.save(tmp_path / "table.json")
    result = profile_bundle(tiny, predicted_by=tmp_path / "table.json", duration=0.05)
    assert result["prediction"]["predicted_ms"] > 0


@pytest.mark.parametrize(("verdict", "code"), [("VALID", 0), ("UNPINNED", 0), ("NOISY", 4), ("THROTTLED", 4)])
def test_the_verdict_of_a_table_is_the_exit_code(verdict, code, tiny, table, tmp_path, monkeypatch, capsys):
    asked = []

    def measured(bundle, options, **settings):
        asked.append(settings)
        return replace(table, validity={"verdict": verdict, "reasons": ["made up"]})

    monkeypatch.setattr("sanp.pipeline.latency.measure_table", measured)
    path = tmp_path / "table.json"
    line = ["sanp", "profile", str(tiny), "--table", str(path), "--power-mode", "15W", "--fix-clocks", "--replace"]
    for more, wanted in ([], code), (["--allow-invalid"], 0):
        monkeypatch.setattr("sys.argv", [*line, *more])
        try:
            main()
            found = 0
        except SystemExit as stop:
            found = stop.code or 0
        assert found == wanted and read_table(path).validity["verdict"] == verdict
        assert f"verdict: {verdict}" in capsys.readouterr().out
    assert asked[0] == {"duration_s": 10.0, "power_mode": "15W", "fix_clocks": True}


def test_both_commands_measure_equally_long():
    assert inspect.signature(measure_table).parameters["duration_s"].default == ProfileSettings().duration


def test_a_board_holds_the_same_conditions(tiny, monkeypatch):
    told = []
    monkeypatch.setattr(on_board, "_check_measuring", lambda *given: None)

    def run(board, name, bundle, flags, *rest, grace_s):
        told.append((name, flags, grace_s))

    monkeypatch.setattr(on_board, "_run", run)
    monkeypatch.setattr(on_board, "_json", lambda board, ran: {})
    settings = ProfileSettings(power_mode="15W", fix_clocks=True)
    on_board.table_there(SimpleNamespace(), open_bundle(tiny), settings)
    name, flags, grace_s = told[0]
    assert name == "table" and {"--power-mode=15W", "--fix-clocks", "--threads=1"} <= set(flags)
    assert grace_s == on_board.grace_s(settings) > on_board.grace_s(ProfileSettings())


def test_what_a_table_has_no_use_for_is_refused(tiny, tmp_path):
    for name, value in {"batch": 2, "size": "32x32", "budgets": True}.items():
        with pytest.raises(ConfigError, match=rf"{name} is {value} with table.*power_mode, fix_clocks"):
            measure_latency_table(tiny, table=tmp_path / "table.json", **{name: value})


def test_a_comparison_by_the_table_of_another_device_fails(tiny, other, table, tmp_path):
    """A network that was trained for a time is measured on the device of its table, or its cell fails; also later."""
    (tmp_path / "table").mkdir()
    own = tmp_path / "table" / "table.json"
    table.save(own)
    for path in (own, other):
        settings = CompareSettings.checked(
            methods="sanp", budgets=[0.6], latencies="1us", table=path, seeds=[0], epochs=3, pretrain_epochs=1,
            width=0.1, duration=0.05,
        )  # fmt: skip
        by_macs, by_time = plan(settings).cells
        for cell in (by_macs, by_time):
            folder = tmp_path / path.stem / cell.folder
            folder.mkdir(parents=True)
            (folder / "model.sanp").symlink_to(tiny)
        root = tmp_path / path.stem
        profile_cell(root, by_macs, settings)
        if path == own:
            profile_cell(root, by_time, settings)
            continue
        for _ in range(2):  # measured, and known from before
            with pytest.raises(ConfigError, match="measured on another machine"):
                profile_cell(root, by_time, settings)
