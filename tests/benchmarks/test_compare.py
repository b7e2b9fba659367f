"""Two builds in one process: each session runs its own, and a slower or a wrong one shows."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import compare, graphs, own_code
from benchmarks.networks.masks import network_masks
from benchmarks.networks.shapes import NETWORKS
from benchmarks.sessions import bound_run, session

pytestmark = pytest.mark.skipif(not own_code._CLEAR.exists(), reason="pages are marked by Linux")


@pytest.fixture(scope="module")
def libraries(library, tmp_path_factory):
    """Two copies of the library: equal symbols, two files that no other process has mapped.

    The mark of a page is partly that of the page itself, which another process sets too.
    """
    folder = tmp_path_factory.mktemp("copies")
    return {side: Path(shutil.copy(library, folder / f"{side}.so")).resolve() for side in ("A", "B")}


@pytest.fixture(scope="module")
def runs(libraries):
    network = NETWORKS["m-cifarnet"]()
    model = graphs.gated_network(network, np.random.default_rng(2))
    feeds = {"x": np.ones((1, 3, 32, 32), np.float32), **network_masks(network, 0.5, np.random.default_rng(1))}
    return {side: bound_run(session(model, path), feeds) for side, path in libraries.items()}


def test_a_session_runs_the_code_of_its_own_library(libraries, runs):
    for side, run in runs.items():
        own_code.require_own_code(run, libraries, side)
        touched = own_code.touched_code(libraries, run)
        assert touched[side] >= 16 and sum(touched.values()) == touched[side]


def test_foreign_code_is_noticed(libraries, runs):
    with pytest.raises(SystemExit, match="a session of library B touched"):
        own_code.require_own_code(runs["A"], libraries, "B")
    with pytest.raises(SystemExit, match="none of the others"):
        own_code.require_own_code(lambda: [run() for run in runs.values()], libraries, "A")
    assert own_code.touched_code(libraries, lambda: None) == {"A": 0, "B": 0}


def test_a_library_that_is_not_loaded_is_noticed(libraries, tmp_path, runs):
    other = tmp_path / "other.so"
    shutil.copy(libraries["A"], other)
    with pytest.raises(SystemExit, match=r"other\.so: not loaded"):
        own_code.touched_code({**libraries, "C": other}, runs["A"])


def main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
    return compare.main()


def test_command_writes_medians_and_ratios(libraries, tmp_path, monkeypatch, capsys):
    output = tmp_path / "compare.json"
    options = ("--rounds", 2, "--pairs", 2, "--only", "cifar", "--json", output)
    assert main(monkeypatch, *libraries.values(), *options) == 0
    assert "m-cifarnet" in capsys.readouterr().out
    report = json.loads(output.read_text())
    assert report["libraries"]["A"]["sha256"] == report["libraries"]["B"]["sha256"]
    (row,) = report["networks"]
    for case in ("open", "gated"):
        assert len(row[case]["ratio_per_pair"]) == 2
        assert min(row[case]["ratio_per_pair"]) <= row[case]["ratio"] <= max(row[case]["ratio_per_pair"])
        assert min(row[case]["median_us"].values()) > 0


def test_ratio_is_b_over_a(libraries, monkeypatch):
    """A clock that only knows the side: B takes twice as long, whatever the order of a pair."""

    class Slow:
        def __init__(self, seconds):
            self.seconds = seconds

    def pair(name, libraries, order):
        return {(side, case): Slow({"A": 1.0, "B": 2.0}[side]) for side in order for case in compare.CASES}

    monkeypatch.setattr(compare, "pair_of_runs", pair)
    monkeypatch.setattr(compare, "interleaved_seconds", lambda runs, rounds: [[run.seconds] * rounds for run in runs])
    row = compare.compare("m-cifarnet", libraries, 3, 4)
    assert row["gated"] == {"median_us": {"A": 1e6, "B": 2e6}, "ratio": 2.0, "ratio_per_pair": [2.0] * 4}


def test_wrong_answers_are_not_timed(libraries, monkeypatch):
    """A build that swaps two outputs would be found before the clock starts."""

    class Off:
        def __init__(self, real, factor):
            self.real, self.factor = real, factor

        def run(self, *arguments):
            return [self.factor * y for y in self.real.run(*arguments)]

        def __getattr__(self, name):
            return getattr(self.real, name)

    real = compare.session
    monkeypatch.setattr(
        compare, "session", lambda model, path: Off(real(model, path), 1 + (path == libraries["B"]) / 9)
    )
    with pytest.raises(SystemExit, match="m-cifarnet: B against A: relative error"):
        compare.pair_of_runs("m-cifarnet", libraries, ["A", "B"])


def test_one_file_is_not_compared_with_itself(libraries, tmp_path, monkeypatch):
    link = tmp_path / "link.so"
    link.symlink_to(libraries["A"])
    with pytest.raises(SystemExit, match="is the same file as A"):
        main(monkeypatch, libraries["A"], link)
