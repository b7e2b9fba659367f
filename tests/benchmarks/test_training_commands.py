"""The benchmarks of training work with the settings, stages and result files of today."""

import json
import sys

import pytest

from benchmarks.training import pilot, step_time, tables
from benchmarks.training.rows import RESULTS, write_rows

pytestmark = pytest.mark.slow


def test_a_joint_step_is_timed_against_a_dense_one():
    row = step_time.measure("m-cifarnet", 0.125, 16, 5)
    assert row["ratio"] > 0 and row["dense_ms"] > 0 and row["joint_ms"] > 0


def test_recorded_rows_are_not_run_again():
    """A row counts as done only with the same settings."""
    results = pilot.Results(RESULTS / "pilot-digits.json")
    for label, budget, changes in pilot.PLANS["budgets"]:
        options = {"seed": 0, **pilot.SETTINGS["digits"], "budget": budget, **changes}
        assert results.has(label, pilot.train_settings(**options))
        assert not results.has(label, pilot.train_settings(**{**options, "seed": 77}))
        assert not results.has(label, pilot.train_settings(**{**options, "noise": 0.123}))


def test_a_new_row_replaces_its_predecessor(tmp_path, capsys):
    results = pilot.Results(tmp_path / "pilot-digits.json")
    row = {
        "label": "sanp",
        "budget": 0.5,
        "seed": 1,
        "accuracy": 0.9,
        "dense_accuracy": 0.9,
        "cost": 0.5,
        "dynamic": 0.1,
    }
    results.add(row)
    results.add({**row, "accuracy": 0.95})
    results.add({**row, "seed": 2})
    written = json.loads(results.path.read_text())
    assert [(r["seed"], r["accuracy"]) for r in written["rows"]] == [(1, 0.95), (2, 0.9)]
    assert written["machine"]["threads"] >= 1 and "torch" in written["machine"]["packages"]


@pytest.mark.parametrize("folder", [RESULTS, RESULTS / "first-recipe"], ids=["now", "first"])
def test_tables_of_the_recorded_results(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tables", str(folder)])
    tables.main()
    text = capsys.readouterr().out
    for path in folder.glob("*.json"):
        assert f"### {path.name}\n\n| " in text


def test_rows_are_written_whole(tmp_path):
    write_rows(tmp_path / "rows.json", [{"label": "sanp"}])
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]
