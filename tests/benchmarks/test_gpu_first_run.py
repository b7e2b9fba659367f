"""The first visit to a GPU, rehearsed whole on this machine, and its runner among stages that fail, hang and crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks.gpu import first_run
from benchmarks.gpu.stages import SECOND, STAGES, profiles
from benchmarks.gpu.visit import goals
from benchmarks.gpu.visit.entry import Entry
from benchmarks.gpu.visit.record import read
from benchmarks.gpu.visit.runner import Runner
from tests.native.cuda_emulated import ROOT, build_emulated

pytestmark = pytest.mark.slow

BAD = "tests.benchmarks.gpu_bad_stages"


def rehearse(folder, *more):
    command = [sys.executable, "-m", "benchmarks.gpu.first_run", "--rehearse", "--output", str(folder), *more]
    begin = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    return done, time.monotonic() - begin


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """The folder of a rehearsal of everything, and what the command printed."""
    build_emulated()
    folder = tmp_path_factory.mktemp("visit")
    done, seconds = rehearse(folder / "out", "--archive", str(folder / "texts.tar.gz"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert seconds < 120
    return folder, done.stdout


def numbers(visit, stage):
    return read(visit[0] / "out" / f"{stage}.json")["numbers"]


def test_every_stage_of_a_rehearsal_is_ok(visit):
    for entry in STAGES:
        content = read(visit[0] / "out" / f"{entry.name}.json")
        assert content["status"] == "ok", content
        assert content["wall_s"] > 0
        assert {"device", "torch", "sources", "driver_version", "commit"} <= content["facts"].keys()


def test_a_rehearsal_never_looks_like_a_result(visit):
    summary = json.loads((visit[0] / "out/summary.json").read_text())
    assert summary["rehearsal"]
    assert [goal["reached"] for goal in summary["goals"]] == [None] * 3
    for text in (visit[1], (visit[0] / "out/summary.txt").read_text()):
        assert "REHEARSAL" in text
        assert "REACHED" not in text
    samples = numbers(visit, "build")["sanitizer"], numbers(visit, "onnxruntime")["tests"]
    assert all(found["sample"] for found in (*samples, *numbers(visit, "profiles")["profiles"]))


def test_what_a_rehearsal_measures(visit):
    assert numbers(visit, "build")["tests"][0]["passed"] == 3
    layers = numbers(visit, "layers")
    assert layers["measured"] == layers["planned"] == len(layers["layers"]) == 5
    assert layers["cost_model"]["float16"]["rows"] == sum(
        len(row["plan_times"]["0.5"]) for row in layers["layers"] if row["element"] == "float16"
    )
    (batch,) = numbers(visit, "networks")["batches"]
    assert all(0 < check["error"] <= check["limit"] < check["size"] / 2 for check in batch["checks"].values())
    assert {"gated", "gated, gates left out", "dense fused channels_last", "narrowed NCHW"} <= batch["us"].keys()
    training = numbers(visit, "training")
    assert [row["precision"] for row in training["steps"]] == ["bfloat16", "float16", "float32"]
    result = training["result"]
    assert result["cost"] <= 0.38 if result["budget_met"] else "costs" in result["problem"]
    assert len(numbers(visit, "profiles")["profiles"]) == 2


def test_the_stages_of_a_second_visit(tmp_path):
    """All of them run; the summary shows what they measured and judges none of it."""
    done, _ = rehearse(tmp_path, "--stages", "second")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {entry.name: read(tmp_path / f"{entry.name}.json") for entry in SECOND}
    assert {content["status"] for content in found.values()} == {"ok"}
    assert [row["cuda_graph"] for row in found["steps"]["numbers"]["steps"]] == [False] * 3
    agreement = found["steps"]["numbers"]["agreement"]
    assert len(agreement["losses"]["python"]) == 2
    assert "difference" not in agreement, "a CPU has no graph to compare"
    few = found["few_multiprocessors"]["numbers"]
    assert few["multiprocessors"] == 16
    assert few["layers"][0]["gated_us"].keys() == {"0.5", "1.0"}
    assert few["network"]["us"].keys() == found["networks"]["numbers"]["batches"][0]["us"].keys()
    text = (tmp_path / "summary.txt").read_text()
    assert "16 multiprocessors: a large product takes" in text
    assert "steps, bfloat16, started from Python: dense" in text
    assert "REACHED" not in text


def test_the_archive_holds_the_texts(visit):
    with tarfile.open(visit[0] / "texts.tar.gz") as tar:
        names = set(tar.getnames())
    assert {f"{entry.name}.json" for entry in STAGES} | {"summary.txt", "build.log", "profile-1.txt"} <= names
    assert any(name.endswith("metrics.jsonl") for name in names)
    assert not any(name.endswith(".safetensors") for name in names)


def test_a_second_command_goes_on_and_repeats_nothing(visit):
    out = visit[0] / "out"
    (out / "onnxruntime.json").unlink()
    before = {entry.name: (out / f"{entry.name}.json").stat().st_mtime_ns for entry in STAGES if entry.name[0] != "o"}
    done, _ = rehearse(out)
    assert done.returncode == 0
    assert before == {name: (out / f"{name}.json").stat().st_mtime_ns for name in before}
    assert read(out / "onnxruntime.json")["status"] == "ok"


def test_no_stage_takes_another_with_it(tmp_path):
    """One that raises, one that hangs with a child, one that dies by a signal, one that leaves without a word."""
    names = ("raises", "hangs", "dies", "leaves", "skips", "works")
    calls, facts = [], {"sources": "0123"}
    runner = Runner(tmp_path, 1000, True, facts, after_each=lambda: calls.append(1))
    found = runner.run([Entry("raises", BAD, 120)])
    # Long enough for the one that hangs to begin, on a busy machine too.
    begun = 4 * found["raises"]["wall_s"] + 4
    entries = [Entry(name, BAD, begun if name == "hangs" else 120) for name in names[1:]]
    entries.insert(1, Entry("absent", "tests.benchmarks.no_such_stage", 120))
    found |= runner.run(entries)
    assert {name: row["status"] for name, row in found.items()} == {
        "raises": "failed", "hangs": "timed out", "absent": "failed", "dies": "failed", "leaves": "failed",
        "skips": "skipped", "works": "ok",
    }  # fmt: skip
    assert len(calls) == len(found) == 7
    for name, row in found.items():
        assert read(tmp_path / f"{name}.json") == row
        assert row["facts"]["sources"] == "0123"
        assert name == "absent" or row["numbers"]["begun"]
    assert "KeyError: 'what a stage did not expect'" in found["raises"]["reason"]
    assert "Traceback" in found["raises"]["log_tail"]
    assert found["dies"]["reason"] == "it was ended by SIGSEGV"
    assert "no result" in found["leaves"]["reason"]
    assert found["skips"]["reason"] == "there is no elephant"
    assert 0 < found["works"]["numbers"]["left"] < 120
    child = found["hangs"]["numbers"]["rows"][0]["child"]
    assert not is_running(child), "what a stage started ends with it"


def is_running(pid):
    """Whether a process is there and not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_time_a_stage_is_skipped_and_earlier_numbers_stay(tmp_path):
    facts = {"sources": "0123", "rehearsal": True}
    earlier = {"stage": "first", "status": "timed out", "reason": "", "facts": facts, "numbers": {"rows": [1]}}
    (tmp_path / "first.json").write_text(json.dumps(earlier))
    found = Runner(tmp_path, 5.0, True, facts).run([Entry("first", BAD, 60, 30), Entry("second", BAD, 60, 30)])
    assert found["first"] == earlier
    assert found["second"]["status"] == "skipped"
    assert found["second"]["reason"] == "5 s of the budget were left, expected at least 30 s"
    other = {**facts, "sources": "4567"}
    assert Runner(tmp_path, 5.0, True, other).run([Entry("first", BAD, 60, 30)])["first"]["status"] == "skipped"


def test_a_file_that_is_no_result_is_no_result(tmp_path):
    for text in ("", "{", "[]", '{"stage": "x"}'):
        (tmp_path / "x.json").write_text(text)
        assert read(tmp_path / "x.json") is None


def test_stages_by_name(capsys):
    assert [entry.name for entry in first_run.chosen("training,build")] == ["build", "training"]
    with pytest.raises(SystemExit):
        first_run.parse(["--stages", "build,elephants"])
    assert (
        "there is no stage 'elephants', expected second, third or some of check, short_layers"
        in capsys.readouterr().err
    )


def test_the_stages_of_a_third_visit():
    """They judge the goal for layers and profile its kernels from the short stage, within 260 seconds."""
    stages = first_run.chosen("third")
    assert sum(entry.seconds for entry in stages) <= 260
    row = {
        "layer": "128-128 3x3 @28", "element": "float16", "batch": 8, "best_dense_us": 9.0, "chosen_us": {"0.5": 7.0},
        "gated_us": {"0.5": 6.0}, "conv": {"c_in": 128, "c_out": 128, "group": 1, "kernel_h": 3},
        "plan_times": {"0.5": [{"algorithm": "packed4", "tile_m": 64, "tile_n": 64, "us": 6.0}]},
    }  # fmt: skip
    other = row | {"layer": "1x1", "best_dense_us": 1.0, "conv": row["conv"] | {"kernel_h": 1}}
    other |= {"plan_times": {"0.5": [row["plan_times"]["0.5"][0] | {"algorithm": "gather"}]}}
    content = {"short_layers": {"numbers": {"layers": [other, row]}}}
    assert goals.goals(content, False)[0].value == 1.5
    assert [slow.layer for slow in profiles.slowest([other, row])] == ["128-128 3x3 @28 float16", "1x1 float16"]


def test_the_budgets_fit_into_a_visit():
    """Two commands of which the first ends within ten minutes, and a quarter of an hour less the start in all."""
    assert sum(entry.seconds for entry in STAGES) <= first_run.BUDGET_SECONDS
    assert sum(entry.seconds for entry in STAGES[:3]) + STAGES[3].least <= 560
    assert all(0 < entry.least < entry.seconds for entry in STAGES)


def test_results_of_a_rehearsal_are_left_out_of_a_visit(tmp_path):
    for name, rehearsal, sources in (("build", True, "1"), ("layers", False, "1"), ("networks", False, "2")):
        content = {"status": "ok", "reason": "", "numbers": {}, "facts": {"rehearsal": rehearsal, "sources": sources}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    found = first_run.results(tmp_path, {"rehearsal": False, "sources": "1"})
    assert {name: row["reason"] for name, row in found.items()} == {
        "layers": "", "networks": "(from other sources) "
    }  # fmt: skip


def test_without_a_gpu_the_visit_says_so(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    assert first_run.main(["--output", str(tmp_path), "--stages", "profiles"]) == 1
    assert "no CUDA device was found; --rehearse runs everything on a CPU" in read(tmp_path / "profiles.json")["reason"]
