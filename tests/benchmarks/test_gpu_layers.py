"""The parts of the GPU benchmark that need no GPU: its shapes, the break-even density and the table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.gpu.cuda_library import Plan
from benchmarks.gpu.layer_case import GatedLayer
from benchmarks.gpu.layer_measure import How, measure, spread_plans
from benchmarks.gpu.place import Rehearsal
from benchmarks.gpu.tables import Measurement, break_even, table
from benchmarks.networks.resnets import distinct_layers, resnet_layers
from benchmarks.networks.shapes import Layer
from tests.native.cuda_emulated import ROOT, build_emulated

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("network", "image", "convolutions", "macs"),
    # The multiply-adds of the published networks without their classifier.
    [("resnet18", 224, 20, 1.8136e9), ("resnet50", 224, 53, 4.0872e9), ("resnet18", 32, 20, 0.5554e9)],
)
def test_layers_are_those_of_the_network(network, image, convolutions, macs):
    layers = resnet_layers(network, image)
    assert len(layers) == convolutions
    assert sum(layer.macs for layer in layers) == pytest.approx(macs, rel=1e-3)


def test_layers_are_listed_once_with_their_networks():
    found = distinct_layers(["resnet18", "resnet50"], [224, 32])
    assert len(found) == len(set(found))
    assert found[Layer(64, 64, 56)] == ["resnet18@224", "resnet50@224"]
    assert Layer(3, 64, 224, 7, 2, 3).name == "3-64 7x7/2 @224"


def measurement(gated, dense=10.0):
    return Measurement(
        "layer", ["net"], "float16", 1, 100, {"a": dense, "b": 2 * dense}, gated, dict.fromkeys(gated, "p")
    )


@pytest.mark.parametrize(
    ("gated", "expected"),
    [
        ({1.0: 20.0, 0.5: 10.0, 0.2: 5.0}, 0.5),
        ({1.0: 20.0, 0.5: 5.0}, 0.5 + 0.5 / 3),
        ({1.0: 9.0, 0.5: 5.0}, 1.0),
        ({1.0: 30.0, 0.5: 11.0}, None),
        ({0.2: 12.0, 0.5: 8.0, 1.0: 12.0}, 0.75),
    ],
)
def test_break_even(gated, expected):
    assert break_even(measurement(gated)) == (None if expected is None else pytest.approx(expected))


def test_table_and_json():
    m = measurement({1.0: 20.0, 0.5: 5.0})
    lines = table([m, measurement({1.0: 40.0})]).splitlines()
    assert lines[2] == "| layer | float16 | 1 | 10.0 (a) | 20.0 us, 0.50x | 5.0 us, 2.00x | 0.67 |"
    assert lines[3].endswith("|  | never |")
    assert len({line.count("|") for line in lines}) == 1
    assert m.as_json()["best_dense_us"] == 10.0


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A rehearsal whose clock gives every contestant the length of its name."""
    build_emulated()
    monkeypatch.setattr(Rehearsal, "race", lambda self, runs, rounds, launches: {n: float(len(n)) for n in runs})
    return Rehearsal(tmp_path)


def test_a_layer_is_checked_and_measured(place):
    """Everything but the clock and cuDNN: tensors, masks, plans and check, with the emulated library."""
    one = measure(place, Layer(12, 20, 6), ["net"], 2, "float16", How({0.3: 0, 1.0: 1}))
    m = one.measurement
    assert set(m.gated_us) == set(m.plans) == set(m.chosen_us) == {1.0, 0.3}
    assert set(m.dense_us) == {"conv+relu NCHW", "conv+relu channels_last", "fused channels_last"}
    assert [plan["index"] for plan in one.plan_times[1.0]] == [0]
    assert len(one.plan_times[0.3]) > 1
    assert one.as_json()["conv"]["c_out"] == 20


@pytest.mark.parametrize("layer", [Layer(12, 20, 6), Layer(12, 12, 7, 3, 2, 1, 12), Layer(8, 16, 4, 1, 1, 0)])
def test_a_wrong_kernel_is_noticed(place, layer):
    problem = GatedLayer(place, layer, 2, "float32", 0.3)
    assert problem.active.sum(1).tolist() == [round(0.3 * layer.c_in)] * 2
    assert problem.scale.sum(1).tolist() == [round(0.3 * layer.c_out)] * 2
    problem.check(problem.plans()[0])
    assert {name.endswith("TF32") for name in problem.dense()} == {True, False}
    problem.w_hwio[:] *= 2
    with pytest.raises(RuntimeError, match="the kernel is off by"):
        problem.check(problem.plans()[0])


def test_rounded_inputs_are_no_baseline():
    m = measurement({0.5: 5.0})
    m.dense_us["fast TF32"] = 1.0
    assert m.best_dense == "a"


def test_plans_are_spread_over_the_list():
    plans = [Plan(algorithm=1 + (i == 25)) for i in range(30)]
    assert list(spread_plans(plans, 0)) == list(range(30))
    assert list(spread_plans(plans, 1)) == [0]
    # The first four, the other algorithm, and three of the 25 that are left.
    assert list(spread_plans(plans, 8)) == [0, 1, 2, 3, 25, 4, 12, 20]


def test_without_a_device_it_says_so():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    command = [sys.executable, "-m", "benchmarks.gpu.gated_layers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no CUDA device was found" in done.stderr
