"""The target registry: data, near matches, this machine."""

from __future__ import annotations

import pytest

from sanp_targets import targets
from sanp_targets.errors import TargetError


def test_resolve():
    assert targets.resolve("x86-cpu").arch == "x86_64"
    assert targets.resolve("arm64-cpu").to_json()["backend"] == "onnxruntime"
    assert targets.resolve("host") == targets.host()
    assert all(name == target.name for name, target in targets.TARGETS.items())


@pytest.mark.parametrize(("name", "near"), [("x86", "x86-cpu"), ("arm-cpu", "arm64-cpu"), ("hots", "host")])
def test_near_matches(name, near):
    with pytest.raises(TargetError, match=f"expected one of .*did you mean '{near}'") as error:
        targets.resolve(name)
    assert error.value.exit_code == 3


@pytest.mark.parametrize("name", ["", "quantum", "X" * 1000])
def test_unknown(name):
    with pytest.raises(TargetError, match=r"x86-cpu, arm64-cpu, .*, host"):
        targets.resolve(name)


@pytest.mark.parametrize(("machine", "name"), [("AMD64", "x86-cpu"), ("arm64", "arm64-cpu"), ("aarch64", "arm64-cpu")])
def test_host_names(machine, name):
    assert targets.host(machine).name == name


def test_unsupported_machine():
    with pytest.raises(TargetError, match="riscv64"):
        targets.host("riscv64")


def test_wrong_architecture(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    targets.check_runs_here(targets.resolve("x86-cpu"))
    with pytest.raises(TargetError, match="run it on the device"):
        targets.check_runs_here(targets.resolve("arm64-cpu"))


def test_gpu_targets_are_data():
    for name, sm, releases in (
        ("jetson-orin-nano", 87, ["8.5.2", "8.6.2", "10.3.0", "10.16.2"]),
        ("jetson-agx-orin", 87, ["8.5.2", "8.6.2", "10.3.0", "10.16.2"]),
        ("jetson-xavier", 72, ["8.5.2"]),
        ("jetson-thor", 110, ["10.13.3", "10.16.2"]),
    ):
        target = targets.resolve(name)
        assert (target.backend, target.arch, target.gpu.sm) == ("tensorrt", "aarch64", sm)
        assert [release.tensorrt for release in target.gpu.releases] == releases
        assert target.gpu.fp16_tflops > target.gpu.fp32_tflops > 0 and target.gpu.bandwidth_gb_s > 0
    assert targets.resolve("x86-cuda").gpu == targets.Gpu()
    assert targets.host("aarch64").gpu is None, "the processor is the default, not some GPU of that architecture"
