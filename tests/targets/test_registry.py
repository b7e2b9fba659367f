"""The target registry: data, near matches, this machine."""

from __future__ import annotations

import re

import pytest

from sanp_targets import targets
from sanp_targets.errors import TargetError


def test_resolve():
    assert targets.resolve("x86-cpu").arch == "x86_64"
    assert targets.resolve("arm64-cpu").to_json()["backend"] == "onnxruntime"
    assert targets.resolve("host") == targets.host()
    assert all(name == target.name for name, target in targets.known().items())


@pytest.mark.parametrize(("name", "near"), [("x86", "x86-cpu"), ("arm-cpu", "arm64-cpu"), ("hots", "host")])
def test_near_matches(name, near):
    with pytest.raises(TargetError, match=f"expected one of .*did you mean '{near}'") as error:
        targets.resolve(name)
    assert error.value.exit_code == 3


@pytest.mark.parametrize("name", ["", "quantum", "X" * 1000])
def test_unknown(name):
    with pytest.raises(TargetError, match=r"arm64-cpu, .*x86-cpu, .*, host"):
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
    with pytest.raises(TargetError, match="--host and --library"):
        targets.check_runs_here(targets.resolve("arm64-cpu"))


def test_gpu_targets_are_data():
    for name, sm, releases in (
        ("jetson-orin-nano", 87, ["8.5.2", "8.6.2", "10.3.0", "10.16.2"]),
        ("jetson-agx-orin", 87, ["8.5.2", "8.6.2", "10.3.0", "10.16.2"]),
        ("jetson-orin-nx", 87, ["8.5.2", "8.6.2", "10.3.0", "10.16.2"]),
        ("jetson-xavier-nx", 72, ["8.5.2"]),
        ("jetson-agx-xavier", 72, ["8.5.2"]),
        ("jetson-thor", 110, ["10.13.3", "10.16.2"]),
    ):
        target = targets.resolve(name)
        assert (target.backend, target.arch, target.gpu.sm) == ("tensorrt", "aarch64", sm)
        assert [release.tensorrt for release in target.gpu.releases] == releases
        assert target.gpu.fp16_tflops > target.gpu.fp32_tflops > 0 and target.gpu.bandwidth_gb_s > 0
    assert targets.resolve("x86-cuda").gpu == targets.Gpu()
    assert targets.host("aarch64").gpu is None, "the processor is the default, not some GPU of that architecture"


def test_a_name_of_before_is_answered_with_the_new_ones():
    with pytest.raises(TargetError, match="did you mean 'jetson-agx-xavier' or 'jetson-xavier-nx'"):
        targets.resolve("jetson-xavier")


def test_instructions_are_checked_before_work_begins(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = {"isa": ["avx2", "fma"], "cpu_model": "Old 1"}
    monkeypatch.setattr("sanp_targets.targets.processor", lambda: found)
    targets.check_runs_here(targets.resolve("x86-cpu-avx2"))
    with pytest.raises(TargetError, match=r"Old 1 has no avx512f, avx512bw, avx512vl, avx512_vnni, avx512_vbmi2"):
        targets.check_runs_here(targets.resolve("x86-cpu-vnni"))


def test_releases_of_one_name_are_the_same_in_every_file():
    rows = {}
    for target in targets.known().values():
        for release in target.gpu.releases if target.gpu else ():
            assert rows.setdefault(release.name, release) == release, target.name
    assert len({start for release in rows.values() for start in release.l4t}) == sum(
        len(release.l4t) for release in rows.values()
    ), "a release of Jetson Linux belongs to one JetPack"


def test_the_rates_follow_from_cores_and_clocks():
    """fp32 = cores x 2 x clock, as the source of each number says; the multiprocessors hold all cores."""
    for target in targets.known().values():
        source = target.sources.get("gpu.fp32_tflops", "")
        if target.gpu is None or not source:
            continue
        cores, clock = re.search(r"(\d+) CUDA cores x 2 x ([\d.]+) GHz", source).groups()
        assert target.gpu.fp32_tflops == pytest.approx(int(cores) * 2 * float(clock) / 1000, rel=0.01), target.name
        assert int(cores) / target.gpu.multiprocessors == (64 if target.gpu.sm == 72 else 128)
        tensor = re.search(r"(\d+) tensor cores x (\d+) dense operations x ([\d.]+)", target.sources["gpu.fp16_tflops"])
        if tensor:
            count, each, rate = map(float, tensor.groups())
            assert target.gpu.fp16_tflops == pytest.approx(count * each * rate / 1000, rel=0.01), target.name
