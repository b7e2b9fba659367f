"""Runs a selection of tests in a process of its own and reads what they said from pytest's XML."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.gpu.visit.runner import ROOT


@dataclass(frozen=True)
class Selection:
    """Tests to run together: name, seconds, files, pytest's -k, and how many processes share them (0: one)."""

    name: str
    seconds: float
    paths: tuple[str, ...]
    keyword: str = ""
    processes: int = 0


def run_tests(selection: Selection, xml: Path, environment: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Counts, seconds and the first failures of a selection; a selection that does not end says so in "problem"."""
    xml.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=15", f"--junitxml={xml}"]
    command += ["-k", selection.keyword] if selection.keyword else []
    command += ["-n", str(selection.processes), "--dist", "load"] if selection.processes else []
    begin, problem, tail = time.perf_counter(), "", ""
    try:
        done = subprocess.run(
            [*command, *selection.paths], cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False,
            timeout=max(1.0, min(seconds, selection.seconds)),
        )  # fmt: skip
        tail = (done.stdout + done.stderr)[-1500:]
    except subprocess.TimeoutExpired as error:
        problem = f"the tests did not end within {error.timeout:.0f} s"
    row: dict[str, Any] = {"name": selection.name, "seconds": round(time.perf_counter() - begin, 2)}
    if not problem and not xml.exists():
        problem = f"pytest wrote no result: {tail}"
    return {**row, "problem": problem} if problem else {**row, **junit_counts(xml.read_text(encoding="utf-8"))}


def junit_counts(text: str) -> dict[str, Any]:
    """Counts of pytest's XML, names and messages of the first failures, reasons of skips."""
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    bad = [(case, said) for case in cases for said in case if said.tag in ("failure", "error")]
    skipped = [said.get("message", "") for case in cases for said in case if said.tag == "skipped"]
    return {
        "passed": len(cases) - len({id(case) for case, _ in bad}) - len(skipped), "failed": len(bad),
        "skipped": len(skipped), "reasons": sorted(set(skipped))[:5],
        "failures": [{"test": case.get("name"), "said": said.get("message", "")[:600]} for case, said in bad[:10]],
    }  # fmt: skip
