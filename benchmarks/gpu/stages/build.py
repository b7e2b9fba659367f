"""Stage 1: the kernels are compiled, their tests run, and compute-sanitizer watches one case of each."""

from __future__ import annotations

import os
import sys

from benchmarks.gpu.place import Place
from benchmarks.gpu.visit.entry import Skipped
from benchmarks.gpu.visit.record import Record
from benchmarks.gpu.visit.tests_run import run_tests
from benchmarks.gpu.visit.tools import sanitizer_findings

SANITIZER_SECONDS = 45.0


def run(place: Place, record: Record) -> None:
    """RuntimeError, after everything has run, if a test failed or the sanitizer found something."""
    record.note(build=place.build())
    environment = {**os.environ, "SANP_CUDA_LIBRARY": str(place.library_path), "OMP_NUM_THREADS": "2"}
    bad = []
    for selection in place.selections:
        found = run_tests(selection, place.output / "tests.xml", environment, record.seconds_left())
        record.append("tests", found)
        if found.get("problem") or found["failed"] or not found["passed"]:
            bad.append(f"tests {selection.name}")
    command = [sys.executable, "-m", "benchmarks.gpu.visit.one_launch", "--library", str(place.library_path)]
    command += ["--memory", place.memory, "--every-kernel"]
    try:
        seconds = min(SANITIZER_SECONDS, record.seconds_left())
        text = place.tool("compute-sanitizer", command, seconds, "compute-sanitizer.txt")
        found = {**sanitizer_findings(text.text), "sample": text.sample, "returncode": text.returncode}
        if "gates ran" not in text.text:
            found["problem"] = text.text[-1500:]
    except (Skipped, RuntimeError, ValueError) as error:
        found = {"errors": 0, "problem": str(error)}
    record.note(sanitizer=found)
    if found["errors"]:  # a sanitizer that could not run says nothing about the kernels; its problem is in the numbers
        bad.append("compute-sanitizer")
    if bad:
        raise RuntimeError(f"failed: {', '.join(bad)}; the numbers name them")
