"""NVIDIA's command line tools: where they are, what they print, and recorded samples for machines without them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.visit.entry import Skipped

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
# How each tool is called before the command that it watches.
OPTIONS = {
    "compute-sanitizer": ("--tool", "memcheck", "--print-limit", "20"),
    "ncu": (
        "--clock-control", "none", "--set", "detailed", "--section", "WarpStateStats", "--section", "SchedulerStats",
        "--kernel-name", "regex:conv|pack", "--launch-count", "2",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ToolText:
    """What a tool printed. sample: it is a recorded sample and says nothing about this machine."""

    text: str
    sample: bool
    returncode: int


def find_tool(name: str) -> str | None:
    """The tool's path, from PATH or from where toolkits put it."""
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    places = [str(toolkit / "bin"), str(toolkit / "compute-sanitizer")]
    places += [str(folder) for folder in sorted(Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True)]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(places))


def run_tool(name: str, command: Sequence[str], seconds: float) -> ToolText:
    """The tool around a command. Raises Skipped if the tool is missing, RuntimeError if it does not end in time."""
    path = find_tool(name)
    if path is None:
        raise Skipped(f"{name} was not found in PATH nor in the CUDA toolkit")
    return _text([path, *OPTIONS[name], *command], seconds, False)


def sample_of(sample: str, command: Sequence[str], seconds: float) -> ToolText:
    """The command without the tool, then the recorded sample; RuntimeError if the command fails."""
    done = _text(command, seconds, True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.text[-2000:]}")
    return ToolText((SAMPLES / sample).read_text(encoding="utf-8"), True, 0)


def _text(command: Sequence[str], seconds: float, sample: bool) -> ToolText:
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, check=False, timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from error
    return ToolText(done.stdout + done.stderr, sample, done.returncode)


def query_gpu(*names: str) -> dict[str, str]:
    """Properties of the first GPU from nvidia-smi, read only; words where it is missing."""
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return dict.fromkeys(names, "not known")
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(names, values)) if len(values) == len(names) else dict.fromkeys(names, "not known")


def sanitizer_findings(text: str) -> dict[str, Any]:
    """Number of errors by compute-sanitizer's own count, and the first ones; ValueError without a count."""
    counts = re.findall(r"ERROR SUMMARY: (\d+) error", text)
    if not counts:
        raise ValueError(f"compute-sanitizer printed no summary: {text[-500:]}")
    lines = [line.lstrip("= ").rstrip() for line in text.splitlines() if line.startswith("=========")]
    first = [line for line in lines if re.match(r"(Invalid|Program hit|Misaligned|Race|Barrier)", line)][:10]
    return {"errors": int(counts[-1]), "first": first}


def profile_metrics(text: str) -> dict[str, dict[str, str]]:
    """Kernel -> metric -> value with unit, from the tables of Nsight Compute's text."""
    found: dict[str, dict[str, str]] = {}
    metrics: dict[str, str] = {}
    for line in text.splitlines():
        kernel = re.match(r"\s{2}(\S.*) \(\d+, \d+, \d+\)x\(\d+, \d+, \d+\), Context \d+", line)
        if kernel:
            metrics = found.setdefault(kernel[1], {})
            continue
        row = re.match(r"\s{4}(\S.*?)\s{2,}(?:(\S+)\s+)?([\d.,]+)\s*$", line)
        if row:
            metrics[row[1]] = row[3].replace(",", "") + (f" {row[2]}" if row[2] else "")
    return found
