"""The parts of a visit to a GPU: networks and their check, launches for tools, what tools print, wheels, goals."""

from __future__ import annotations

import re
import sys
import zipfile

import pytest
import torch

from benchmarks.gpu.backbones import layers_of, narrowed, resnet
from benchmarks.gpu.cuda_library import FLOAT16, HOPPER
from benchmarks.gpu.dense_network import DenseNetwork
from benchmarks.gpu.gated_network import GatedNetwork
from benchmarks.gpu.network_reference import random_parameters, reference_logits, tolerance
from benchmarks.gpu.place import Gpu, Rehearsal
from benchmarks.gpu.stages import layers as layers_stage
from benchmarks.gpu.stages.networks import _check
from benchmarks.gpu.stages.profiles import slowest
from benchmarks.gpu.stages.training import schedule
from benchmarks.gpu.training_steps import StepTimes
from benchmarks.gpu.visit import goals, summary, tools, wheels
from benchmarks.gpu.visit.entry import Skipped
from benchmarks.gpu.visit.one_launch import every_kernel
from benchmarks.gpu.visit.tests_run import Selection, junit_counts, run_tests
from tests.native.cuda_emulated import ROOT, build_emulated

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    build_emulated()
    return Rehearsal(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize(
    ("network", "convolutions", "macs"), [("mobilenet-v2", 52, 0.2995e9), ("resnet18", 20, 1.8136e9)]
)
def test_backbones_are_the_published_ones(network, convolutions, macs):
    layers = layers_of(network)
    assert len(layers) == convolutions
    assert sum(layer.macs for layer in layers) == pytest.approx(macs, rel=1e-3)


def test_the_network_has_the_layers_of_the_table():
    net = resnet()
    assert [conv.layer for conv in net.convs.values() if conv.layer.kernel > 1] == [
        layer for layer in layers_of("resnet18") if layer.kernel > 1
    ]
    assert net.macs == sum(layer.macs for layer in layers_of("resnet18"))
    thin = narrowed(0.325)
    assert thin.macs / net.macs == pytest.approx(0.325, abs=0.03)
    assert all(conv.layer.c_out % 8 == 0 for conv in thin.convs.values())


@pytest.fixture(scope="module")
def small(place):
    """A network, its parameters and images."""
    torch.manual_seed(1)
    network, images = resnet(24, (8, 16), 1), torch.randn(32, 3, 24, 24)
    return network, random_parameters(network, 0.5, 10, images), images


def test_gates_open_the_share_that_was_asked_for(place, small):
    network, parameters, images = small
    one = GatedNetwork(place, network, parameters, images, lambda layer: 0)
    one.run()
    opened = torch.cat([layer.scale.flatten() != 0 for layer in one.layers.values()]).float()
    assert 0.3 < float(opened.mean()) < 0.7
    assert 0 < one.cost() < 0.7
    stem = one.layers["stem"].scale != 0
    assert bool((stem.any(0) & ~stem.all(0)).any()), "a channel is open for some images only"


def test_a_mistake_in_the_network_is_noticed(place, small):
    network, parameters, images = small
    one = GatedNetwork(place, network, parameters, images, lambda layer: 0)
    found = _check(network, parameters, one, images, "gated")
    assert found["error"] <= found["limit"] < found["size"] / 2
    first = one.run()
    assert torch.equal(first, one.run(gates=False)), "without gates the masks of the call before are used"
    layer = one.layers["s1b0.b"]
    layer.active.zero_()
    layer.decide = lambda: None
    one.layers["s1b0.a"].decide = lambda: None
    with pytest.raises(RuntimeError, match="rounding to halves explains"):
        _check(network, parameters, one, images, "gated")


def test_the_limit_comes_from_rounding_alone(small):
    network, parameters, images = small
    exact, limit = tolerance(network, parameters, images, torch.half)
    again = reference_logits(network, parameters, images, lambda t: t)
    assert float((again.double() - exact).abs().max()) < limit / 20, "float32 without stored halves is far inside"
    assert limit > tolerance(network, parameters, images, torch.float32)[1] * 100
    assert float(exact.abs().max()) < 50, "no image is scaled up from layer to layer"


def test_the_dense_forms_agree(place, small):
    network, _, images = small
    torch.manual_seed(3)
    logits = []
    for form in ("NCHW", "channels_last", "fused channels_last"):
        torch.manual_seed(3)
        logits.append(DenseNetwork(place, network, 10, images, form).run().float())
    for other in logits[1:]:
        torch.testing.assert_close(logits[0], other, rtol=0.02, atol=0.02)


def test_one_case_of_each_kernel_is_launched():
    """What compute-sanitizer watches: every line of kernels.inc."""
    library = build_emulated()
    text = (ROOT / "runtime/native/cuda/conv/kernels.inc").read_text()
    lines = re.findall(r"^SANP_(?:CONV|PACKED)_KERNEL\(k(\w+), (F\d\d), (\d+), (\d+)", text, re.MULTILINE)
    found = set()
    for conv, plan in every_kernel(library, HOPPER):
        element = "F16" if conv.type == FLOAT16 else "F32"
        found.add((library.algorithm(plan), element, str(plan.tile_m), str(plan.tile_n)))
    assert found == {(name.lower(), *rest) for name, *rest in lines}


def test_what_the_sanitizer_says():
    sample = (tools.SAMPLES / "compute-sanitizer.txt").read_text()
    assert tools.sanitizer_findings(sample) == {"errors": 0, "first": []}
    lines = ("Invalid __global__ write of size 2 bytes", "    at conv_halo", "ERROR SUMMARY: 3 errors")
    bad = "".join(f"========= {line}\n" for line in lines)
    assert tools.sanitizer_findings(bad) == {"errors": 3, "first": ["Invalid __global__ write of size 2 bytes"]}
    with pytest.raises(ValueError, match="printed no summary"):
        tools.sanitizer_findings("========= Error: Device not supported")


def test_what_nsight_compute_says():
    (kernel,) = tools.profile_metrics((tools.SAMPLES / "ncu.txt").read_text()).items()
    assert kernel[0].startswith("void sanp::cuda::conv_halo<4, 4, 4>")
    assert kernel[1]["Elapsed Cycles"] == "10000 cycle"
    assert kernel[1]["Registers Per Thread"] == "168 register/thread"
    assert kernel[1]["Block Size"] == "128"
    assert kernel[1]["Compute (SM) Throughput"] == "10.00 %"


def test_a_missing_tool_is_skipped_and_a_failing_command_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    with pytest.raises(Skipped, match="no-such-tool was not found"):
        Gpu(tmp_path).tool("no-such-tool", ["true"], 5, "ncu.txt")
    with pytest.raises(RuntimeError, match="ended with 3"):
        Rehearsal(tmp_path).tool("ncu", [sys.executable, "-c", "raise SystemExit(3)"], 60, "ncu.txt")


def test_what_pytest_says(tmp_path):
    found = junit_counts((tools.SAMPLES / "onnxruntime.xml").read_text())
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 1, 1)
    assert found["failures"] == [{"test": "sample_of_a_failure", "said": "AssertionError: seed 3"}]
    own = tmp_path / "test_own.py"
    own.write_text(
        "import time\ndef test_good(): pass\ndef test_bad(): assert 1 == 2\ndef test_slow(): time.sleep(600)\n"
    )
    xml = tmp_path / "found.xml"
    found = run_tests(Selection("own", 100, (str(own),), "good or bad"), xml, {}, 100)
    assert (found["passed"], found["failed"]) == (1, 1)
    assert "did not end within 3 s" in run_tests(Selection("own", 3, (str(own),), "slow"), xml, {}, 100)["problem"]
    assert "pytest wrote no result" in run_tests(Selection("own", 60, ("--no-such",)), xml, {}, 100)["problem"]


def test_pieces_of_a_wheel_are_joined(tmp_path):
    whole = tmp_path / "own_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(whole, "w") as wheel:
        wheel.writestr("own_package.py", "ANSWER = 42\n")
        wheel.writestr("own_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
        wheel.writestr(
            "own_package-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("own_package-1.0.dist-info/RECORD", "")
    data, folders = whole.read_bytes(), [tmp_path / "first", tmp_path / "second"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / f"{whole.name}.{number:03}").write_bytes(data[:100] if number == 0 else data[100:])
    (joined,) = wheels.join_pieces([*folders, tmp_path / "absent"], tmp_path / "joined")
    assert joined.read_bytes() == data
    assert wheels.install([joined], tmp_path / "site") == "own_package"
    assert (tmp_path / "site/own_package.py").read_text() == "ANSWER = 42\n"
    (folders[0] / f"{whole.name}.000").unlink()
    with pytest.raises(FileNotFoundError, match="piece 0 of 2 is missing"):
        wheels.join_pieces(folders, tmp_path / "joined")
    with pytest.raises(RuntimeError, match="pip could not install"):
        wheels.install([folders[1] / f"{whole.name}.001"], tmp_path / "site")


def test_everything_that_is_needed_is_known_here():
    assert wheels.missing() == [], "the development environment has what the stages import"


def layer_row(channels, element="float16", batch=8, us=10.0, algorithm="halo", **conv):
    shape = {"c_in": channels, "c_out": channels, "group": 1, "kernel_h": 3, **conv}
    plan = {"index": 1, "algorithm": algorithm, "tile_m": 64, "tile_n": 64, "us": us}
    return {"layer": f"{channels}-{channels}", "element": element, "batch": batch, "conv": shape, "best_dense_us": 16.0,
            "gated_us": {"0.5": us}, "chosen_us": {"0.5": 2 * us}, "plan_times": {"0.5": [plan]}}  # fmt: skip


def visited(layers=(), speedup=1.4, ratio=1.2):
    return {
        "layers": {"status": "ok", "facts": {"device": "a server's GPU"}, "numbers": {"layers": list(layers)}},
        "networks": {"status": "ok", "numbers": {"batches": [
            {"batch": 1, "speedup": 0.1, "dense_us": 1, "gated_us": 10, "narrowed_us": 1, "cost": 0.3, "us": {}},
            {"batch": 8, "speedup": speedup, "dense_us": 1, "gated_us": 1, "narrowed_us": 1, "cost": 0.3, "us": {}}]}},
        "training": {"status": "ok", "numbers": {"steps": [
            StepTimes("float32", 8, 0.001, 0.009).as_json(), StepTimes("bfloat16", 8, 0.01, 0.01 * ratio).as_json()]}},
    }  # fmt: skip


def test_goals_are_judged_by_the_worst_layer_that_counts():
    not_counted = [layer_row(64, us=99.0), layer_row(128, "float32", us=99.0), layer_row(256, batch=1, us=99.0),
                   layer_row(256, us=99.0, kernel_h=1), layer_row(256, us=99.0, group=256)]  # fmt: skip
    rows = [*not_counted, layer_row(128), layer_row(256, us=8.0)]
    found = goals.goals(visited(rows), False)
    assert [goal.reached for goal in found] == [True, True, True]
    assert [goal.value for goal in found] == pytest.approx([1.6, 1.4, 1.2])
    assert (
        found[0].detail
        == "2 of 2 reach it; the worst is 128-128; with the plan that the library prefers the worst is 0.80x"
    )
    missed = goals.goals(visited([*rows, layer_row(512, us=12.0)], 1.2, 1.4), False)
    assert [goal.reached for goal in missed] == [False, False, False]
    assert "2 of 3 reach it; the worst is 512-512" in missed[0].detail
    assert {goal.reached for goal in goals.goals({}, False)} == {None}
    assert {goal.reached for goal in goals.goals(visited(rows), True)} == {None}


def test_the_summary_says_what_was_reached():
    text = summary.text(visited([layer_row(128, us=12.0)]), False, {"commit": "abc"})
    assert "They are no figures of an edge board" in text
    assert "device: a server's GPU" in text
    assert "NOT REACHED: fastest dense form over gated FP16" in text
    assert "REACHED: dense CUDA graph over the gated network with its gates, ResNet-18 at 224, batch 8: 1.40x" in text
    assert "bfloat16: dense 10.0 ms, joint 12.0 ms (1.20x), 800 and 667 images per second" in text


def test_the_slowest_kernels_are_chosen_once_each():
    rows = [layer_row(128, us=20.0), layer_row(256, us=40.0), layer_row(64, us=30.0, algorithm="gather"), layer_row(32)]
    assert [(slow.layer, slow.ratio) for slow in slowest(rows)] == [("256-256 float16", 2.5), ("64-64 float16", 1.875)]


def test_wide_layers_come_first_and_no_shape_twice():
    tasks = layers_stage.tasks_of(layers_stage.FULL)
    wide = [task for task in tasks if task[:2] == ("float16", 8)][:4]
    assert all(layer.kernel == 3 and min(layer.c_in, layer.c_out) >= 128 for _, _, layer, _ in wide)
    assert len({task[:3] for task in tasks}) == len(tasks)
    assert {network for task in tasks for network in task[3]} == {"resnet18", "resnet50", "mobilenet-v2"}


def test_the_schedule_fits_the_time():
    times = StepTimes("bfloat16", 256, 0.02, 0.03)
    assert schedule(times, 12800, 1e6, 80) == {"pretrain_epochs": 16, "warmup_epochs": 4, "joint_epochs": 60}
    fits = schedule(times, 12800, 60.0, 80)
    steps = 12800 // 256
    assert steps * (fits["pretrain_epochs"] * 0.02 + (fits["warmup_epochs"] + fits["joint_epochs"]) * 0.03) <= 60.0
    assert fits["joint_epochs"] > 20
    assert schedule(times, 12800, -5.0, 80) == {"pretrain_epochs": 1, "warmup_epochs": 1, "joint_epochs": 2}
