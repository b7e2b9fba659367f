"""The GPU side of a visit with PyTorch's CUDA and NVIDIA's tools played by stand-ins: everything but the device."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu.layer_case import GatedLayer
from benchmarks.gpu.place import Gpu
from benchmarks.gpu.stages import build, layers, networks, profiles
from benchmarks.gpu.visit import tools
from benchmarks.gpu.visit.entry import Skipped
from benchmarks.gpu.visit.record import Record
from benchmarks.gpu.visit.tests_run import Selection
from tests.native.cuda_emulated import build_emulated


class PlayedGraph:
    """Runs nothing when it is replayed; counts."""

    captured, replayed = 0, 0

    def replay(self):
        PlayedGraph.replayed += 1


class PlayedStream:
    cuda_stream = 0

    def wait_stream(self, other):
        pass

    def synchronize(self):
        pass


class PlayedEvent:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        pass

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 0.012


@contextmanager
def capture(graph, stream):
    assert isinstance(stream, PlayedStream), "a capture on the default stream is an error"
    PlayedGraph.captured += 1
    yield


@contextmanager
def on_stream(stream):
    yield


class PlayedGpu(Gpu):
    """A GPU whose tensors lie in host memory."""

    device, memory = "cpu", "host"
    selections = (Selection("plans", 100, ("tests/native/test_cuda_plans.py",), "texts"),)

    def pick(self, full, small):
        return small

    def build(self):
        return {"library": "played"}


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("SANP_CUDA_LIBRARY", str(build_emulated().path))
    properties = SimpleNamespace(name="a played GPU", major=9, minor=0, multi_processor_count=132)
    played = {
        "is_available": lambda: True, "device_count": lambda: 1,
        "get_device_capability": lambda *index: (9, 0), "get_device_properties": lambda index: properties,
        "Stream": PlayedStream,
        "current_stream": PlayedStream, "stream": on_stream, "graph": capture, "CUDAGraph": PlayedGraph,
        "Event": PlayedEvent,
    }  # fmt: skip
    for name, value in played.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(PlayedGraph, "captured", 0)
    monkeypatch.setattr(PlayedGraph, "replayed", 0)
    return PlayedGpu(tmp_path)


@pytest.fixture
def played_tools(tmp_path, monkeypatch):
    """Programs that run the command behind their own options, and print what the real ones print."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, sample in (("ncu", "ncu.txt"), ("compute-sanitizer", "compute-sanitizer.txt")):
        skip = f'while [ "$1" != "{sys.executable}" ]; do shift || exit 8; done'
        (folder / name).write_text(f'#!/bin/sh\n{skip}\n"$@" || exit 9\ncat "{tools.SAMPLES / sample}"\n')
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 580.1, 1980, 345, 700.00\n")
    for path in folder.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def record_of(gpu, stage):
    return Record(gpu.output / f"{stage}.json", stage, 100, gpu.facts())


def test_facts(gpu, played_tools):
    facts = gpu.facts()
    assert (facts["device"], facts["capability"], facts["multiprocessors"]) == ("a played GPU", "9.0", 132)
    assert (facts["driver_version"], facts["clocks.max.sm"], facts["power.limit"]) == ("580.1", "1980", "700.00")


def test_layers_then_their_profiles(gpu, played_tools):
    """A shape that cuDNN's fused call does not take, as here every one, loses that form and keeps the others."""
    record = record_of(gpu, "layers")
    layers.run(gpu, record)
    rows = record.numbers["layers"]
    assert len(rows) == 5
    assert set(rows[0]["dense_us"]) == {"conv+relu NCHW", "conv+relu channels_last"}
    assert {name.endswith("TF32") for row in rows if row["element"] == "float32" for name in row["dense_us"]} == {
        True,
        False,
    }
    assert rows[0]["gated_us"][0.5] == pytest.approx(12.0), "per launch, in us"
    assert record.numbers["clock_mhz"] == 1980
    assert PlayedGraph.captured >= 25
    assert PlayedGraph.replayed == 2 * PlayedGraph.captured, "one turn to warm up, one round"
    record = record_of(gpu, "profiles")
    profiles.run(gpu, record)
    assert [row["sample"] for row in record.numbers["profiles"]] == [False, False]
    assert all(row["kernels"] and row["returncode"] == 0 for row in record.numbers["profiles"])


def test_a_layer_that_fails_is_told_and_the_others_are_measured(gpu, monkeypatch):
    check = GatedLayer.check

    def failing(self, plan):
        if self.layer.kernel == 1:
            raise RuntimeError("the kernel is off by 3")
        check(self, plan)

    monkeypatch.setattr(GatedLayer, "check", failing)
    record = record_of(gpu, "layers")
    with pytest.raises(RuntimeError, match="2 layers failed, the first is 24-16 1x1 @8"):
        layers.run(gpu, record)
    assert len(record.numbers["layers"]) == 3
    assert {row["said"] for row in record.numbers["failed"]} == {"the kernel is off by 3"}
    assert "cost_model" in record.numbers
    record = record_of(gpu, "networks")
    monkeypatch.setattr(
        networks, "_check", lambda *arguments: failing(SimpleNamespace(layer=layers.Layer(1, 1, 1, 1)), 0)
    )
    with pytest.raises(RuntimeError, match="batch 2 failed: the kernel is off by 3"):
        networks.run(gpu, record)


def test_networks(gpu):
    record = record_of(gpu, "networks")
    networks.run(gpu, record)
    (batch,) = record.numbers["batches"]
    assert {name for name in batch["us"] if "fused" in name} == set()
    assert batch["speedup"] == pytest.approx(1.0), "every turn of the played clock takes as long"


def test_kernels_under_the_sanitizer(gpu, played_tools, monkeypatch):
    record = record_of(gpu, "build")
    build.run(gpu, record)
    assert record.numbers["sanitizer"] == {"errors": 0, "first": [], "sample": False, "returncode": 0}
    assert record.numbers["tests"][0]["passed"] == 1
    monkeypatch.setattr(tools, "SAMPLES", gpu.output)
    (gpu.output / "tools/compute-sanitizer").write_text("#!/bin/sh\necho '========= ERROR SUMMARY: 2 errors'\n")
    with pytest.raises(RuntimeError, match="failed: compute-sanitizer; the numbers name them"):
        build.run(gpu, record_of(gpu, "build"))


def test_without_tools_the_reason_is_kept(gpu, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.visit.tools.find_tool", lambda name: None)
    record = record_of(gpu, "build")
    build.run(gpu, record)
    assert "compute-sanitizer was not found" in record.numbers["sanitizer"]["problem"]
    with pytest.raises(Skipped, match="the stages of layers have no results"):
        profiles.run(gpu, record_of(gpu, "profiles"))
