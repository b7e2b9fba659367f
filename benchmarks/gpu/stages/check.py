"""Stage of a second visit: the kernels are compiled, and their quickest tests run; a part of `build`."""

from __future__ import annotations

import os

from benchmarks.gpu.place import Place
from benchmarks.gpu.visit.record import Record
from benchmarks.gpu.visit.tests_run import run_tests


def run(place: Place, record: Record) -> None:
    """RuntimeError if a test failed."""
    record.note(build=place.build())
    environment = {**os.environ, "SANP_CUDA_LIBRARY": str(place.library_path), "OMP_NUM_THREADS": "2"}
    found = run_tests(place.selections[0], place.output / "tests.xml", environment, record.seconds_left())
    record.append("tests", found)
    if found.get("problem") or found["failed"] or not found["passed"]:
        raise RuntimeError(f"failed: tests {place.selections[0].name}; the numbers name them")
