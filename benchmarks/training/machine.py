"""What a result file says about where its numbers come from."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def describe() -> dict[str, object]:
    """Processor, cores, threads and versions; plain JSON. Wall times also depend on what else runs there."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()
