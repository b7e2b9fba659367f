"""Where the training benchmarks keep their rows, and how a file of them is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import write_json
from benchmarks.machine import describe

RESULTS = Path(__file__).resolve().parents[1] / "results/training"


def write_rows(path: Path, rows: list[dict[str, Any]], **more: Any) -> None:
    """The rows, the machine and the number of threads they come from, and what else belongs to all of them."""
    write_json(path, {"machine": {**describe("torch"), "threads": torch.get_num_threads()}, **more, "rows": rows})
