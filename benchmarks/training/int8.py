"""What eight bits cost trained networks: accuracy of gated int8 against gated float32 on the whole test split.

    python -m benchmarks.training.int8 build/int8                # trains what is missing, one to five minutes a run
    python -m benchmarks.training.int8 build/int8 --measure      # quantises, validates, and writes the rows

M-CifarNet x0.25 at 16 pixels on digits and on MixCues, SANP at 35 % of the MACs, three seeds; every run goes through
`sanp train`, `export`, `compile --int8` with its defaults, and `validate`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser
from benchmarks.training.backbones import SETTINGS, SIZE, WIDTH, cli, train_once
from benchmarks.training.rows import RESULTS, write_rows
from sanp import checkpoint

MODEL, SEEDS = "m-cifarnet", (0, 1, 2)
MOST_LOST = 0.005  # accuracy that rounding to bytes may cost


def deployed(folder: Path) -> dict[str, Any]:
    """`sanp export`, `compile --int8` and `validate` of a run, with their defaults: accuracies on the test split."""
    source, model, bundle = folder / "checkpoint.safetensors", folder / "model.onnx", folder / "int8.sanp"
    cli("export", source, "-o", model, "--replace")
    code, compiled = cli("compile", model, "-o", bundle, "--int8", "--replace")
    if code:
        raise subprocess.CalledProcessError(code, f"sanp compile --int8 of {model}")
    code, report = cli("validate", bundle, "--checkpoint", source)
    task, record = report["L2"], compiled["record"]["int8"]
    return {
        "cost": checkpoint.load(source).metadata["test"]["cost"], "samples": task["samples"],
        "float32": task["reference_accuracy"], "int8": task["accuracy"],
        "lost": task["reference_accuracy"] - task["accuracy"], "gate_agreement": report["L1"]["agreement"],
        "gate_flips": report["L1"]["flips"], "calibration_samples": record["calibration_samples"],
        "layers_int8": len(record["layers"]), "float32_layers": record["float32"],
        "errors": {name: row["error"] for name, row in record["layers"].items()},
        "validated": code == 0, **{level: report[level]["passed"] for level in ("L0", "L1", "L2")},
    }  # fmt: skip


def measure(folders: dict[str, Path], place: Path) -> int:
    """Quantise what was trained and write the rows; exit code 1 if a network does not validate or loses too much."""
    rows = []
    for name, folder in folders.items():
        rows.append({"name": name, "model": MODEL, "width": WIDTH, "image_size": SIZE, **deployed(folder)})
        row = rows[-1]
        print(
            f"{name:10} {row['cost']:.1%} of the MACs, accuracy {row['float32']:.2%} float32, {row['int8']:.2%} int8 "
            f"on {row['samples']} samples, {row['layers_int8']} layers int8, gates equal {row['gate_agreement']:.3%}, "
            f"validated {row['validated']}",
            flush=True,
        )
    write_rows(place, rows)
    return 0 if all(row["validated"] and row["lost"] <= MOST_LOST for row in rows) else 1


def main() -> int:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of the runs")
    options.add_argument("--only", default="", help="runs whose name contains this, such as digits-0")
    options.add_argument("--measure", action="store_true", help="quantise instead of training")
    options.add_argument("--json", type=Path, default=RESULTS / "int8.json", help="where the rows go")
    args = options.parse_args()
    cases = {f"{dataset}-{seed}": (dataset, seed) for dataset in SETTINGS for seed in SEEDS}
    if args.measure:
        return measure({name: args.folder / name for name in cases if args.only in name}, args.json)
    for name, (dataset, seed) in cases.items():
        if args.only in name:
            common = {"model": MODEL, "dataset": dataset, "seed": seed, "width": WIDTH, "image_size": SIZE}
            train_once(args.folder / name, {**common, **SETTINGS[dataset]})
            print(f"{name}: trained", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
