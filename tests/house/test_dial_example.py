"""The example that turns the dial: it runs, and its two rules turn it when they should."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from sanp_runtime import load
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_targets.errors import TargetError
from tests.house.tree import ROOT
from tests.support.tiny_bundle import fill

EXAMPLE = ROOT / "examples/turn_dial.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("turn_dial", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    try:
        library = find_library()
    except TargetError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("dial") / "tiny.sanp"
    with BundleWriter(path) as writer:
        fill(writer, library, budgets=True)
    return path


def test_it_runs(path):
    def run(*words):
        return subprocess.run([sys.executable, EXAMPLE, *words], capture_output=True, text=True, check=False)

    done = run(path, "--deadline", "0.000001", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    assert "budget 1 -> 0.6" in done.stdout and done.stdout.splitlines()[-1].startswith("budget 0.6: ")
    assert run(path).returncode == 2 and "--hottest" in run("--help").stdout


def test_by_temperature(example, tmp_path):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu")
    governor = example.ByTemperature([1.0, 0.85, 0.7], hottest=70, every_s=0.0, root=tmp_path)
    budget, seen = 1.0, []
    for degrees in (50, 70, 68, 75, 80, 66, 65, 65, 40):
        (zone / "temp").write_text(str(1000 * degrees))
        budget = governor.next_budget(budget, 1.0)
        seen.append(budget)
    assert seen == [1.0, 0.85, 0.85, 0.7, 0.7, 0.7, 0.85, 1.0, 1.0]
    (zone / "temp").unlink()
    with pytest.raises(SystemExit, match="no temperature"):
        governor.next_budget(budget, 1.0)


def test_by_deadline(example, path):
    with load(path) as engine:
        governor = example.ByDeadline(engine.manifest.budgets, deadline_ms=1.0, calls=4)
        budget, seen = 1.0, []
        for took in [1.2] * 4 + [0.7] * 4 + [0.5] * 4 + [0.9] * 4:
            budget = governor.next_budget(budget, took)
            seen.append(budget)
    # Late at 1; at 0.6 a call of 0.7 ms says 1.17 ms for 1, which is late, and 0.5 ms says 0.83 ms.
    assert seen == [1.0] * 3 + [0.6] * 8 + [1.0] * 5
