"""Networks of timm and pytorchcv through gate, export and compile, compared with PyTorch and plain ONNX Runtime.

    python -m benchmarks.zoo.run --json zoo.json                  # all; needs `pip install 'sanp-toolchain[zoo]'`
    python -m benchmarks.zoo.run --json zoo.json --only ghostnet  # some, again
    python -m benchmarks.zoo.run --table zoo.json                 # the table of a result file, in Markdown

Random weights, small images. The result file is written after every network, and networks in it are not run again
unless `--again` is given, so a run may be stopped and continued. Exit code 1 if a network is not right.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import parser, write_json
from benchmarks.machine import describe
from benchmarks.zoo.catalog import ENTRIES
from benchmarks.zoo.journey import CRASHED, RIGHT, row_of
from benchmarks.zoo.table import markdown
from benchmarks.zoo.torchvision_names import stand_in


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--json", type=Path, help="result file, which is continued if it exists")
    options.add_argument("--only", default="", help="networks whose name contains this")
    options.add_argument("--again", action="store_true", help="also those that are in the result file")
    options.add_argument("--threads", type=int, default=1, help="threads of torch [1]")
    options.add_argument("--table", type=Path, help="print the table of this result file, and run nothing")
    chosen = options.parse_args(arguments)
    if chosen.table is not None:
        print(markdown(json.loads(chosen.table.read_text())["networks"]))
        return 0
    torch.set_num_threads(chosen.threads)
    rows = _run(chosen)
    wrong = {name: row for name, row in rows.items() if row["result"] != RIGHT}
    print(f"{len(rows) - len(wrong)} of {len(rows)} networks are right", file=sys.stderr)
    return 1 if wrong else 0


def _run(chosen: argparse.Namespace) -> dict[str, Any]:
    known = json.loads(chosen.json.read_text())["networks"] if chosen.json and chosen.json.is_file() else {}
    about = {"command": "python -m benchmarks.zoo.run", "torchvision": "names only" if stand_in() else "installed"}
    machine = describe("torch", "onnx", "onnxruntime", "timm", "pytorchcv", "numpy")
    rows: dict[str, Any] = {entry.key: known[entry.key] for entry in ENTRIES if entry.key in known}
    for entry in ENTRIES:
        if chosen.only not in entry.name or (entry.key in rows and not chosen.again):
            continue
        print(entry.key, end=" ", flush=True, file=sys.stderr)
        rows[entry.key] = row = _row(entry)
        print(row["result"], row["seconds"], row.get("why", "")[:200], flush=True, file=sys.stderr)
        gc.collect()
        write_json(chosen.json, {**about, "machine": machine, "networks": rows})
    return rows


def _row(entry: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    try:
        network = entry.build()
    except Exception as error:
        return {
            "result": CRASHED,
            "why": f"its library cannot build it ({error})"[:300],
            "size": entry.size,
            "seconds": 0,
        }
    return row_of(network, entry.size)


if __name__ == "__main__":
    sys.exit(main())
