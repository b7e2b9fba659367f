"""The peers benchmark runs, refuses wrong answers, shows what is missing, and resumes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import report
from benchmarks.peers.catalog import BY_NAME, ENGINES, FLOAT_TOLERANCE
from benchmarks.peers.cores import round_trip
from benchmarks.peers.prepare import Plan, prepare
from benchmarks.peers.rounds import EngineError, Ours, Process, cpus_for, measure, start
from benchmarks.wide_registers import DEMANDED
from sanp_targets.device import fingerprint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DENSE = BY_NAME["onnxruntime"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    plan = Plan.make("m-cifarnet", 0.125)
    return prepare(plan, 1, [DENSE, BY_NAME["sanp"]], tmp_path_factory.mktemp("peers") / "batch1")


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.peers.run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)


def test_quick_run_measures_and_resumes(library, tmp_path):
    output = tmp_path / "peers.json"
    first = run("--quick", "--output", output)
    assert first.returncode == 0, first.stderr
    written = json.loads(output.read_text())
    network = written["networks"]["m-cifarnet"]
    assert [(cell["batch"], cell["threads"]) for cell in network["cells"]] == [(1, 1), (8, 1)]
    for cell in network["cells"]:
        assert set(cell["engines"]) == {engine.name for engine in ENGINES if engine.runtime == "onnxruntime"}
        for name, engine in cell["engines"].items():
            assert 0 < engine["min_ms"] <= engine["q1_ms"] <= engine["median_ms"] <= engine["q3_ms"]
            assert engine["error"] <= BY_NAME[name].tolerance
            assert BY_NAME[name].int8 or engine["same_class"] == 1
            assert ("isa" in engine["settings"]) == BY_NAME[name].ours
    assert 0.15 < network["shares"]["sanp"] < 0.3 and network["shares"]["onnxruntime"] == 1
    assert network["shares"]["onnxruntime-narrow-int8"] == network["shares"]["onnxruntime-narrow"] < 1
    assert "int8 against the float network that it was made of: logits" in first.stdout
    assert network["shares"]["onnxruntime-uneven"] == pytest.approx(network["shares"]["sanp"], rel=0.05)
    assert all(engine.label in first.stdout for engine in ENGINES if engine.runtime == "onnxruntime")

    again = run("--quick", "--output", output)
    assert again.returncode == 0 and again.stdout == first.stdout, "the second run has nothing left to measure"
    assert json.loads(output.read_text()) == written
    shown = run("--show", output)
    assert shown.stdout == first.stdout, "the file holds all that the tables say"
    other = run("--quick", "--output", output, "--engines", "onnxruntime")
    assert other.returncode != 0 and "--fresh" in other.stderr


@pytest.mark.skipif(util.find_spec("openvino") is not None, reason="OpenVINO is installed, nothing is missing")
def test_missing_runtime_is_a_row_with_its_reason(tmp_path):
    arguments = ("--width", 0.125, "--networks", "m-cifarnet", "--rounds", 1, "--seconds", 0.01, "--batches", 1)
    result = run(*arguments, "--threads", 1, "--engines", "onnxruntime", "openvino")
    assert result.returncode == 0, result.stderr
    assert "openvino not installed" in result.stderr and "requirements.txt" in result.stderr
    assert "| OpenVINO, dense | 100.0% | not measured |" in result.stdout
    assert "Not measured: OpenVINO, dense: the process ended with 1: ModuleNotFoundError" in result.stdout


def test_wrong_answers_are_not_timed(prepared, library):
    right = prepared.truth["dense"]
    try:
        prepared.truth["dense"] = right + 3 * FLOAT_TOLERANCE * np.abs(right).max()
        results = measure([DENSE], prepared, 1, Ours(library), 1, 0.01)
    finally:
        prepared.truth["dense"] = right
    assert results["onnxruntime"]["not_measured"].startswith("wrong answers")


def test_exit_code_tells_failures_of_ours_and_wrong_answers():
    from benchmarks.peers.measurement import failed

    def verdict(name, result):
        return failed({"networks": {"net": {"cells": [{"engines": {name: result}}]}}})

    assert verdict("ncnn", {"not_measured": "wrong answers: relative error 1e+00"})
    assert verdict("sanp", {"not_measured": "the process ended with 1: no library"})
    assert not verdict("ncnn", {"not_measured": "pnnx is not installed"})
    assert not verdict("sanp", {"median_ms": 1.0})


def test_error_of_an_answer():
    truth = np.array([[1.0, -4.0], [2.0, 0.0]])
    off = np.array([[1.0, -3.6], [2.0, 0.0]])
    assert DENSE.error(off, truth) == pytest.approx(0.1)
    assert BY_NAME["onnxruntime-int8"].error(truth * 1.05, truth) == pytest.approx(0.05)
    assert DENSE.error(truth * np.nan, truth) == np.inf
    assert DENSE.error(truth[:1], truth) == np.inf
    assert BY_NAME["openvino-narrow-int8"].error(truth * 1.05, truth) == pytest.approx(0.05), "as the dense int8 rows"
    assert DENSE.agreement(np.array([[2.0, -4.0], [0.0, 1.0]]), truth) == 0.5


def test_process_that_dies_gives_its_last_words(prepared, library):
    job = {"runtime": "onnxruntime", "threads": 1, "cpus": [0], "ours": None}
    with pytest.raises(EngineError, match="no-such-file"):
        Process({**job, "model": "no-such-file.onnx", "feeds": str(prepared.feeds["dense"])})
    process, closeness = start(DENSE, prepared, 1, Ours(library))
    with process:
        assert closeness == {"error": 0, "same_class": 1} and process.settings["intra_op_num_threads"] == 1
        with pytest.raises(EngineError, match="KeyError"):
            process.ask({"do": "time"})


def test_process_reports_every_call(prepared, library):
    process, _ = start(BY_NAME["sanp"], prepared, 1, Ours(library))
    with process:
        reply = process.ask({"do": "time", "seconds": 0.02})
    assert len(reply["wall_ms"]) >= 3 and min(reply["wall_ms"]) > 0 and reply["cpu_ms"] > 0


def state(pid):
    """The state letter of a process on Linux, or "gone"."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux")
def test_stopped_processes_end_with_a_driver_that_is_killed(prepared, library):
    script = (
        "import sys, os, signal; from benchmarks.peers.rounds import Process\n"
        f"process = Process({{'runtime': 'onnxruntime', 'model': {str(prepared.models['onnxruntime', 'dense'])!r}, "
        f"'feeds': {str(prepared.feeds['dense'])!r}, 'threads': 1, 'cpus': {cpus_for(1)}, 'ours': None}})\n"
        "print(process._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    driver = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert driver.returncode == -signal.SIGKILL, driver.stderr
    pid = int(driver.stdout)
    for _ in range(100):
        if state(pid) in ("gone", "Z"):
            return
        time.sleep(0.05)
    pytest.fail(f"the worker is still there, in state {state(pid)}")


def test_table_shows_scaling_and_unsteady_cells():
    def timed(median, width=0.0):
        return {"median_ms": median, "q1_ms": median * (1 - width), "q3_ms": median, "cpu_ms": median / 2}

    def cell(threads, dense, ours):
        return {"batch": 1, "threads": threads, "engines": {"onnxruntime": dense, "sanp": ours}}

    cells = [cell(1, timed(8.0), timed(2.0)), cell(2, timed(4.0), timed(1.6, 0.5))]
    network = {"macs": 1e6, "shares": {"onnxruntime": 1.0, "sanp": 0.25}, "cells": cells}
    text = report.network_table("net", network)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0].endswith("batch 1, 1 to 2 threads |")
    assert rows[2] == "| ONNX Runtime, dense | 100.0% | 8.00 ms, 1.00x | 4.00 ms, 1.00x | 2.00x |"
    assert rows[3] == "| SANP, gates computed | 25.0% | 2.00 ms, 4.00x | 1.60* ms, 2.50x | 1.25x |"

    text = report.network_table("net", network, "cpu")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| engine | MACs | batch 1, 1 thread |", "processor time of two threads counts their waiting"
    assert rows[3] == "| SANP, gates computed | 25.0% | 1.00 ms, 4.00x |"


def test_conditions_say_that_avx512_was_ruled_out():
    cell = {"load": 1.0, "engines": {"onnxruntime": {"settings": {"version": "onnxruntime 1"}}}}
    machine = {"cpu_model": "CPU", "cores": 2, "python": "3"}
    results = {"machine": machine, "networks": {"net": {"cells": [cell]}}}
    assert report.conditions(results, "wall").startswith("CPU, 2 cores"), "a file of an older version"
    machine["without_avx512"] = True
    assert report.conditions(results, "wall").startswith("CPU, AVX-512 ruled out, 2 cores")


def test_turns_with_distant_cores_are_told_apart():
    def timed(turns, trips):
        median = {"median_ms": turns[0], "q1_ms": turns[0], "q3_ms": turns[0]}
        return {**median, "turn_ms": turns, "round_trip_ns": trips}

    def table(dense, ours):
        cell = {"batch": 1, "threads": 2, "engines": {"onnxruntime": dense, "sanp": ours}}
        return report.network_table("net", {"macs": 1e6, "shares": {"onnxruntime": 1.0, "sanp": 0.25}, "cells": [cell]})

    text = table(timed([3.6, 4.0, 4.4], [80.0, 640.0, 149.0]), timed([0.9, 2.0, 3.0], [90.0, 700.0, 150.0]))
    assert "took 80 to 700 ns" in text and "less than 150 in 3 of 6 turns" in text
    assert text.rstrip().splitlines()[-1] == "| SANP, gates computed | 0.90 ms, 4.44x (1) | 2.50 ms, 1.60x (2) |"
    assert "| SANP, gates computed | 0.90 ms (1) | - |" in table(timed([4.0], [300.0]), timed([0.9], [90.0]))
    assert "core to core" not in table(timed([4.0], [80.0]), timed([2.0], [90.0]))
    old = {"median_ms": 2.0, "q1_ms": 2.0, "q3_ms": 2.0}
    assert "core to core" not in table(old, old)


@pytest.mark.skipif(len(cpus_for(2)) < 2 or sys.platform != "linux", reason="one core, or not Linux")
def test_round_trip_is_measured():
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    distance = round_trip(cpus_for(2))
    assert distance is not None and 10 < distance() < 1e5
    assert round_trip([0]) is None


def test_edge_names_the_networks_of_the_edge(monkeypatch):
    from benchmarks.peers import run as command

    monkeypatch.setattr(sys, "argv", ["run", "--edge", "--threads", "1"])
    names = command.parse().networks
    assert len(names) == 12 and {name.split("@")[1] for name in names} == {"96", "224"}
    monkeypatch.setattr(sys, "argv", ["run", "--edge", "--networks", "vgg19", "--threads", "1"])
    with pytest.raises(SystemExit):
        command.parse()


@pytest.mark.skipif("avx512" not in str(fingerprint()["isa"]) or sys.platform != "linux", reason="needs AVX-512")
def test_an_engine_that_uses_avx512_is_a_row_with_its_reason(prepared, library, monkeypatch):
    """Where a benchmark without AVX-512 was asked for, no engine is an exception."""
    monkeypatch.setenv(DEMANDED, "1")
    process, _ = start(BY_NAME["sanp"], prepared, 1, Ours(library, "avx512"))
    with process, pytest.raises(EngineError, match="AVX-512 was used"):
        process.ask({"do": "time", "seconds": 0.01})
