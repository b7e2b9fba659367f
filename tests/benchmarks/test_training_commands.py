"""The benchmarks of training work with the settings, stages and result files of today."""

import json
import sys

import pytest

from benchmarks.training import step_time, tables
from benchmarks.training.rows import RESULTS, write_rows
from sanp.pipeline.compare.matrix import plan
from sanp.settings.compare import CompareSettings
from sanp.settings.toml import resolve

pytestmark = pytest.mark.slow


def test_a_joint_step_is_timed_against_a_dense_one():
    row = step_time.measure("m-cifarnet", 0.125, 16, 5)
    assert row["ratio"] > 0 and row["dense_ms"] > 0 and row["joint_ms"] > 0


def test_the_matrix_of_the_repository_can_be_planned():
    settings = resolve(CompareSettings, RESULTS.parents[1] / "training/matrix.toml", {})
    matrix = plan(settings)
    pretrained = [cell for cell in matrix.cells if cell.backbone is not None]
    assert len(matrix.backbones) == len(settings.seeds)
    assert {cell.epochs + settings.pretrain_epochs for cell in pretrained} == {settings.epochs}


def test_rows_say_their_machine(tmp_path):
    write_rows(tmp_path / "rows.json", [{"label": "sanp"}])
    written = json.loads((tmp_path / "rows.json").read_text())
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
