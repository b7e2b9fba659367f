"""What a budget dial costs in accuracy: one network at every budget, beside networks that were trained for less.

    sanp compare -c benchmarks/training/matrix.toml -o build/compare --jobs 16 --until train
    python -m benchmarks.training.dial build/compare

The networks are those of `sanp compare`: MixCues, three seeds, trained for 50 % and for 35 % of the dense MACs. The
dial turns the first to 85 % and 70 % of its cost, and 70 % of 50 % is 35 %. Thresholds come from every second test
image, all accuracies are those on the others.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser
from benchmarks.training.backbones import cli
from benchmarks.training.rows import RESULTS, write_rows

TRAINED, LESS, BUDGETS = 0.5, 0.35, (0.85, 0.7)
ALL_SAMPLES = 100_000  # of the test split, however many it has


def settings_of(source: Path, budgets: tuple[float, ...]) -> tuple[list[dict[str, Any]], int, bool]:
    """What `sanp compile --budgets` measured of a checkpoint, on how many samples, and whether it validates."""
    with tempfile.TemporaryDirectory() as folder:
        model, bundle = Path(folder) / "model.onnx", Path(folder) / "model.sanp"
        cli("export", source, "-o", model, "--samples", ALL_SAMPLES)
        code, compiled = cli("compile", model, "-o", bundle, "--budgets", list(budgets))
        if code:
            raise subprocess.CalledProcessError(code, f"sanp compile --budgets of {source}")
        code, _ = cli("validate", bundle, "--checkpoint", source)
        dense = cli("inspect", bundle)[1]["dense_macs"]
    record = compiled["record"]["budgets"]
    rows = [
        {
            "budget": row["budget"], "rule": row["rule"], "macs": row["macs"] / dense, "accuracy": row["score"],
            "typical_ms": row["typical_ms"],
        }
        for row in record["settings"]
    ]  # fmt: skip
    return rows, record["samples"], code == 0


def compared(cells: Path, method: str, seed: int) -> dict[str, Any]:
    """One method and seed: the dial of the network that was trained for more, and the one trained for less."""
    turned, samples, valid = settings_of(cells / f"{method}-{TRAINED}-seed-{seed}/checkpoint.safetensors", BUDGETS)
    less, _, also = settings_of(cells / f"{method}-{LESS}-seed-{seed}/checkpoint.safetensors", (1.0,))
    return {
        "method": method, "seed": seed, "samples": samples, "dial": turned, "trained_for_less": less[0],
        "validated": valid and also,
    }  # fmt: skip


def main() -> int:
    """Command line; exit code 1 if a network does not validate."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of `sanp compare`")
    options.add_argument("--methods", nargs="+", default=["sanp", "fixed-k", "fbs"])
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--json", type=Path, default=RESULTS / "dial.json", help="where the rows go")
    args = options.parse_args()
    rows = []
    for method in args.methods:
        for seed in args.seeds:
            rows.append(compared(args.folder / "cells", method, seed))
            dial = ", ".join(f"{row['budget']:g}: {row['accuracy']:.2%} ({row['rule']})" for row in rows[-1]["dial"])
            less = rows[-1]["trained_for_less"]
            print(f"{method}, seed {seed}: {dial}; trained for {less['macs']:.1%}: {less['accuracy']:.2%}", flush=True)
    write_rows(args.json, rows)
    return 0 if all(row["validated"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
