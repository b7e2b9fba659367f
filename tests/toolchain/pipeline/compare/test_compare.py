"""A whole comparison on tiny networks: every step once, stopped and gone on, moved between two phases."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sanp import checkpoint
from sanp.pipeline.compare.compare import compare
from sanp.pipeline.compare.matrix import plan
from sanp.pipeline.compare.training import read_result
from sanp.settings.compare import CompareSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_targets.errors import ConfigError

pytestmark = pytest.mark.slow

VALUES = {
    "methods": "dense narrow sanp", "budgets": [0.6], "seeds": [0], "epochs": 3, "pretrain_epochs": 1, "samples": 4,
    "duration": 0.05, "width": 0.1, "data_options": {"modes": 2, "train_size": 256, "val_size": 10, "test_size": 64},
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(folder, result) of a comparison whose phases ran in two calls, in a folder that was moved in between."""
    first = tmp_path_factory.mktemp("first") / "matrix"
    trained = compare(first, CompareSettings.checked(**VALUES, until="train"), progress=False)
    assert trained.page is None and not trained.failed
    assert {path.suffix for path in first.rglob("*") if path.is_file()} == {".safetensors", ".json", ".jsonl"}
    second = first.with_name("moved")
    shutil.move(first, second)
    return second, compare(second, CompareSettings.checked(**VALUES), progress=False)


def test_every_cell_is_there(done):
    folder, made = done
    assert made.page == folder / "comparison.md" and not made.failed
    rows = {row["label"]: row for row in made.result["rows"]}
    assert list(rows) == ["dense", "narrow", "sanp"] and made.result["reference"] == "dense"
    for label, row in rows.items():
        assert row["validated"] and row["p50_ms"] > 0 and row["speed_up"] > 0, label
        found = checkpoint.load(folder / row["folder"] / "checkpoint.safetensors").metadata["test"]
        assert (row["accuracy"], row["cost"]) == (found["accuracy"], found["cost"])
        kept = {path.name for path in (folder / row["folder"]).iterdir()}
        assert not {"state.safetensors", "dense.safetensors"} & kept
    assert rows["dense"]["cost"] == 1 and rows["narrow"]["cost"] <= 0.6
    narrow = open_bundle(folder / rows["narrow"]["folder"] / "model.sanp").manifest
    whole = open_bundle(folder / rows["dense"]["folder"] / "model.sanp").manifest
    assert narrow.full_macs == whole.dense_macs > narrow.dense_macs and not whole.parent
    assert json.loads((folder / "comparison.json").read_text())["points"] == json.loads(
        json.dumps(made.result["points"])
    )


def test_a_second_call_does_nothing_again(done, monkeypatch):
    folder, made = done
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").rglob("*") if path.is_file()}
    again = compare(folder, CompareSettings.checked(**VALUES), progress=False)
    after = {path: path.stat().st_mtime_ns for path in (folder / "cells").rglob("*") if path.is_file()}
    assert after == before and again.result["points"] == made.result["points"]


def test_a_changed_file_is_followed_by_what_depends_on_it(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done[0], folder)
    row = done[1].result["rows"][1]
    cell = folder / row["folder"]
    digest = open_bundle(cell / "model.sanp").digest()
    (cell / "model.onnx").unlink()
    compare(folder, CompareSettings.checked(**{**VALUES, "samples": 5}), progress=False)
    bundle = open_bundle(cell / "model.sanp")
    assert len(bundle.reference()) == 5 and bundle.digest() != digest
    for name in ("validation.json", "profile.json"):
        assert json.loads((cell / name).read_text())["bundle"]["digest"] == bundle.digest()


def test_other_settings_are_refused(done):
    folder, _ = done
    for change, said in (({"epochs": 4}, r"--pretrain-epochs\)"), ({"width": 0.12}, r"width = [0-9.]+, .* 0\.12")):
        with pytest.raises(ConfigError, match=rf"was trained with .*{said}.*; compare into another folder"):
            compare(folder, CompareSettings.checked(**{**VALUES, **change}), progress=False)


def test_a_device_that_is_not_there_is_refused_before_training(tmp_path):
    values = {**VALUES, "methods": "dense sanp@cuda:99"}
    with pytest.raises(ConfigError, match=r"sanp: device is 'cuda:99' and this machine has \d+ CUDA devices"):
        compare(tmp_path / "m", CompareSettings.checked(**values), progress=False)
    assert not (tmp_path / "m").exists()


def test_a_failing_cell_stops_no_other(tmp_path, monkeypatch):
    from sanp.pipeline.compare import training
    from sanp_targets.errors import InputError

    plain = training.train

    def broken(settings, **keywords):
        if settings.method == "narrow":
            raise InputError("the loss is not finite")
        return plain(settings, **keywords)

    monkeypatch.setattr(training, "train", broken)
    settings = CompareSettings.checked(**{**VALUES, "methods": "narrow sanp"}, until="train")
    made = compare(tmp_path / "matrix", settings, progress=False)
    assert list(made.failed.values()) == ["the loss is not finite"]
    rows = {row["label"]: row for row in made.result["rows"]}
    assert rows["narrow"]["error"] and rows["narrow"]["accuracy"] is None and rows["sanp"]["accuracy"] > 0


def test_killed_while_training_in_several_processes_and_gone_on(tmp_path):
    """SIGTERM in the middle: states are kept, no process is left, and the end is that of an undisturbed run."""
    values = {**VALUES, "epochs": 6, "until": "train", "methods": "sanp narrow"}
    config = tmp_path / "sanp.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in ("width", "data_options")]
    options = ", ".join(f"{key} = {value}" for key, value in values["data_options"].items())
    own = ["[compare.training]", "width = 0.1", f"data_options = {{ {options} }}"]
    config.write_text("\n".join(["[compare]", *lines, *own]))
    command = [sys.executable, "-m", "sanp", "compare", "-c", str(config), "--jobs", "2", "--json", "-o"]
    paths = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    run = functools.partial(subprocess.run, check=False, capture_output=True, text=True)
    with subprocess.Popen([*command, str(tmp_path / "a")], stdout=subprocess.PIPE, env={**os.environ, **paths}) as one:
        until = time.monotonic() + 240
        while time.monotonic() < until and not list(tmp_path.glob("a/cells/*/metrics.jsonl")):
            time.sleep(0.05)
        children = run(["pgrep", "-P", str(one.pid)]).stdout.split()
        one.send_signal(signal.SIGTERM)
        one.communicate(timeout=120)
    assert one.returncode == 130 and children
    until = time.monotonic() + 30  # the tracker of multiprocessing ends after the process that it serves
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < until, "a process is left"
        time.sleep(0.1)
    assert len(list(tmp_path.glob("a/**/trained.json"))) < 3, "the signal came in the middle"
    again = run([*command, str(tmp_path / "a")], env={**os.environ, **paths})
    assert again.returncode == 0, again.stderr
    compare(tmp_path / "b", CompareSettings.checked(**values), progress=False)  # undisturbed, and in one process
    first, second = (json.loads((tmp_path / name / "comparison.json").read_text()) for name in ("a", "b"))
    assert [row["accuracy"] for row in first["rows"]] == [row["accuracy"] for row in second["rows"]]
    assert [row["cost"] for row in first["rows"]] == [row["cost"] for row in second["rows"]]


def test_a_step_that_was_not_done_has_no_result(tmp_path):
    cell = plan(CompareSettings.checked(**VALUES)).cells[0]
    assert read_result(tmp_path, cell, "profile.json") is None


def test_a_machine_that_only_trains_needs_no_onnx(tmp_path):
    code = (
        "import sys; [sys.modules.__setitem__(name, None) for name in ('onnx', 'onnxruntime', 'onnx_graphsurgeon', "
        "'onnxscript', 'jinja2', 'typer', 'sklearn')]; "
        "from sanp.pipeline.compare.compare import compare; from sanp.settings.compare import CompareSettings; "
        f"values = {dict(VALUES, methods='sanp', until='train')!r}; "
        f"made = compare({str(tmp_path)!r}, CompareSettings.checked(**values)); "
        "assert not made.failed and made.result['rows'][0]['accuracy']"
    )
    paths = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env={**os.environ, **paths}
    )
    assert run.returncode == 0, run.stderr
