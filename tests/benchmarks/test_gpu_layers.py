"""The parts of the GPU benchmark that need no GPU: its shapes, the break-even density and the table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.gpu import gated_layers
from benchmarks.gpu.tables import Measurement, break_even, table
from benchmarks.networks.resnets import distinct_layers, resnet_layers
from benchmarks.networks.shapes import Layer
from tests.native.cuda_emulated import ROOT, build_emulated


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


def test_a_layer_is_checked_and_measured(monkeypatch):
    """Everything but the clock and cuDNN: tensors, masks, plans and check, with the emulated library."""

    def race(runs, rounds, launches, use_graph):
        for name, run in runs.items():
            if "split" in name:
                run()
        return {name: float(len(name)) for name in runs}

    monkeypatch.setattr(gated_layers, "DEVICE", "cpu")
    monkeypatch.setattr(gated_layers, "current_stream", lambda: None)
    monkeypatch.setattr(gated_layers, "race", race)
    library, layer = build_emulated(), Layer(12, 20, 6)
    options = gated_layers.parse(["--keep", "1.0", "0.3", "--tune"])
    m = gated_layers.measure(library, layer, ["net"], 2, "float16", options)
    assert set(m.gated_us) == set(m.plans) == {1.0, 0.3}
    assert set(m.dense_us) == {"conv+relu NCHW", "conv+relu channels_last", "fused channels_last"}
    problem = gated_layers.GatedLayer(library, layer, 2, "float32", 0.3)
    assert problem.active.sum(1).tolist() == [4, 4]
    assert problem.scale.sum(1).tolist() == [6, 6]
    problem.w_hwio[:] *= 2
    with pytest.raises(SystemExit, match="the kernel is off by"):
        problem.check(library.plan(problem.conv, library.device()))


def test_without_a_device_it_says_so():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    command = [sys.executable, "-m", "benchmarks.gpu.gated_layers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no CUDA device was found" in done.stderr
