"""Stage 5: the operators for ONNX Runtime's CUDA provider, where a wheel of onnxruntime-gpu was carried along."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.place import Place
from benchmarks.gpu.visit import wheels
from benchmarks.gpu.visit.entry import Skipped
from benchmarks.gpu.visit.kernel_build import build_cpu_operators, build_ort_operators
from benchmarks.gpu.visit.record import Record
from benchmarks.gpu.visit.runner import ROOT
from benchmarks.gpu.visit.tests_run import Selection, junit_counts, run_tests
from benchmarks.gpu.visit.tools import SAMPLES

WHEELS, SITE = "gpu-ort-wheels*", ROOT / "build/gpu-ort-site"
TESTS = Selection("ONNX Runtime, CUDA provider", 120, ("tests/native/test_ort_cuda.py",), "on_a_gpu")


def run(place: Place, record: Record) -> None:
    """RuntimeError if a test failed."""
    found = place.pick(tests_with_wheel, tests_of_sample)(place, record)
    record.note(tests=found)
    if not found["sample"] and (found.get("problem") or found["failed"] or not found["passed"]):
        raise RuntimeError("the tests of the CUDA operators failed or did not run; the numbers name them")


def tests_of_sample(place: Place, record: Record) -> dict[str, Any]:
    """What the tests would say, read from a sample."""
    return {"sample": True, **junit_counts((SAMPLES / "onnxruntime.xml").read_text(encoding="utf-8"))}


def tests_with_wheel(place: Place, record: Record) -> dict[str, Any]:
    """Install the wheel, build both operator libraries, run the tests that need a GPU."""
    folders = sorted((ROOT / "build").glob(WHEELS))
    joined = wheels.join_pieces(folders, ROOT / "build/gpu-ort-joined")
    whole = [path for folder in folders for path in folder.glob("*.whl")]
    if not [path for path in (*joined, *whole) if path.name.startswith("onnxruntime_gpu")]:
        raise Skipped(f"there is no wheel of onnxruntime-gpu in build/{WHEELS}; benchmarks/gpu/README.md says how")
    record.note(installed=wheels.install([*joined, *whole], SITE))
    architecture = "{}{}".format(*torch.cuda.get_device_capability())
    record.note(builds=[build_cpu_operators.installed(), build_ort_operators(architecture)])
    libraries = [str(folder) for folder in nvidia_folders()]
    environment = wheels.environment(SITE)
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])
    return {"sample": False, **run_tests(TESTS, place.output / "onnxruntime.xml", environment, record.seconds_left())}


def nvidia_folders() -> list[Path]:
    """Folders of cuDNN and cuBLAS that PyTorch brought as packages; ONNX Runtime needs the same libraries."""
    return sorted(Path(sysconfig.get_paths()["purelib"]).glob("nvidia/*/lib"))
