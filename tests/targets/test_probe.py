"""Probing a machine below a root: fake boards, whose software is files, and the targets that fit them."""

from __future__ import annotations

import json

import pytest

from sanp_targets import software
from sanp_targets.probe import probe
from sanp_targets.targets import known
from tests.targets.conftest import DESKTOP, JETSON, plant

JETPACK_62 = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "usr/lib/aarch64-linux-gnu/libnvinfer.so.10": "",
    "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0": "",
    "usr/src/tensorrt/bin/trtexec": "",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.68"}}',
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
}


def find(root):
    return probe(tuple(known().values()), root)


def fitting(found):
    return [row["name"] for row in found["targets"] if row["fits"]]


def test_a_jetson(jetson):
    plant(jetson, JETPACK_62)
    found = find(jetson)
    json.dumps(found, allow_nan=False)
    assert (found["arch"], found["l4t"], found["jetpack"]) == ("aarch64", "36.4.3", "JetPack 6.1, 6.2")
    assert (found["tensorrt"], found["cuda"], found["cpu_limit"]) == ("10.3.0", "12.6.68", 1.5)
    assert found["trtexec"] == "usr/src/tensorrt/bin/trtexec" and found["governor"] == "performance+schedutil"
    assert found["affinity"] is None, "whoever reads the files of another machine runs on other processors"
    assert fitting(found) == ["arm64-cpu", "jetson-orin-nano"] and found["best"] == "jetson-orin-nano"
    reasons = {row["name"]: row["reason"] for row in found["targets"]}
    assert reasons["x86-cpu"] == "needs x86_64, this is aarch64"
    assert reasons["raspberry-pi-5"] == "the board is NVIDIA Jetson Orin Nano Developer Kit"


# Model and `compatible` of device trees, as the boards have them.
BOARDS = {
    "jetson-orin-nx": ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "nvidia,p3768-0000+p3767-0000"),
    "jetson-orin-nano": ("Some carrier board", "nvidia,p3768-0000+p3767-0003 nvidia,p3767-0003"),
    "jetson-agx-orin": ("NVIDIA Jetson AGX Orin Developer Kit", "nvidia,p3737-0000+p3701-0005"),
    "jetson-agx-xavier": ("Jetson-AGX", "nvidia,p2972-0000 nvidia,tegra194"),
    "jetson-xavier-nx": ("NVIDIA Jetson Xavier NX Developer Kit", "nvidia,p3449-0000+p3668-0000"),
    "jetson-thor": ("NVIDIA Jetson AGX Thor Developer Kit", "nvidia,p3971-0089+p3834-0008 nvidia,tegra264"),
    "raspberry-pi-5": ("Raspberry Pi 5 Model B Rev 1.0", "raspberrypi,5-model-b brcm,bcm2712"),
}


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_is_recognised_and_no_other_one(tmp_path, name):
    model, compatible = BOARDS[name]
    files = {"proc/device-tree/model": f"{model}\0", "proc/device-tree/compatible": compatible.replace(" ", "\0")}
    found = find(plant(tmp_path, {**JETSON, **files}))
    assert fitting(found) == (["arm64-cpu", name]) and found["best"] == name


def test_a_desktop_with_a_gpu(desktop):
    path = desktop / "proc/cpuinfo"
    path.write_text(path.read_text().replace("fpu", "fpu lm"))
    found = find(desktop)
    assert fitting(found) == ["x86-cpu", "x86-cpu-avx2"] and found["best"] == "x86-cpu-avx2"
    assert (found["l4t"], found["tensorrt"], found["cuda"], found["gpus"]) == (None, None, None, {})
    plant(desktop, {
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 1\n",
        "usr/local/cuda-11.8/version.json": "{}",
        "usr/local/cuda-12.4/version.json": '{"cuda": {"version": "12.4.1"}}',
        "usr/local/cuda-9.0/version.txt": "CUDA Version 9.0.176\n",
    })  # fmt: skip
    found = find(desktop)
    assert found["gpus"] == {"0000:01:00.0": "NVIDIA GeForce RTX 4090"} and found["cuda"] == "12.4.1"
    assert found["best"] == "x86-cuda"


def test_an_unknown_machine_fits_nothing(tmp_path):
    found = find(tmp_path)
    assert found["arch"] is None and found["best"] is None and fitting(found) == []
    assert "this is not known" in found["targets"][0]["reason"]
    plant(tmp_path, {"proc/cpuinfo": DESKTOP["proc/cpuinfo"]})
    assert find(tmp_path)["arch"] == "i686", "32 bits"


@pytest.mark.parametrize("text", ["", "R36", "# R36 (release)", "\xff"])
def test_no_release_is_none(tmp_path, text):
    plant(tmp_path, {"etc/nv_tegra_release": text})
    assert software.l4t_release(tmp_path) is None


def test_damaged_version_files_are_none(tmp_path):
    plant(tmp_path, {
        "usr/local/cuda/version.json": "{",
        "usr/lib/x86_64-linux-gnu/libnvinfer.so.10": "",
        "proc/driver/nvidia/gpus/0/information": "",
    })  # fmt: skip
    assert software.cuda_version(tmp_path) is None and software.tensorrt_version(tmp_path) is None
    assert software.gpus(tmp_path) == {"0": None}


def test_this_machine():
    found = find("/")
    assert found["best"] is not None and found["affinity"]
