"""What eight bits cost trained networks: accuracy of gated int8 against gated float32 on the whole test split.

    python -m benchmarks.training.int8 build/int8                # trains what is missing, one to five minutes a run
    python -m benchmarks.training.int8 build/int8 --measure      # quantises, validates, and writes the rows
    python -m benchmarks.training.int8 build/int8 --fine-tune    # the same for networks with outliers, before and after

M-CifarNet x0.25 at 16 pixels on digits and on MixCues, SANP at 35 % of the MACs, three seeds; every run goes through
`sanp train`, `export`, `compile --int8` with its defaults, and `validate`. `--fine-tune` puts outliers among the
weights (see outliers.py) of the runs that are there, and trains such networks with `sanp train --int8`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import parser
from benchmarks.training.backbones import SETTINGS, SIZE, WIDTH, cli, train_once
from benchmarks.training.outliers import OUTLIER, with_outliers
from benchmarks.training.rows import RESULTS, write_rows
from sanp import checkpoint
from sanp.pipeline.export import test_samples

MODEL, SEEDS = "m-cifarnet", (0, 1, 2)
MOST_LOST = 0.005  # accuracy that rounding to bytes may cost


def deployed(folder: Path, *flags: str) -> dict[str, Any]:
    """`sanp export`, `compile --int8` and `validate` of a run, with their defaults: accuracies on the test split.

    flags: more of `compile`.
    """
    source, model, bundle = folder / "checkpoint.safetensors", folder / "model.onnx", folder / "int8.sanp"
    cli("export", source, "-o", model, "--replace")
    code, compiled = cli("compile", model, "-o", bundle, "--int8", "--replace", *flags)
    if code:
        raise subprocess.CalledProcessError(code, f"sanp compile --int8 of {model}")
    code, report = cli("validate", bundle, "--checkpoint", source)
    task, record = report["L2"], compiled["record"]["int8"]
    return {
        "cost": checkpoint.load(source).metadata["test"]["cost"], "samples": task["samples"],
        "float32": task["reference_accuracy"], "int8": task["accuracy"],
        "lost": task["reference_accuracy"] - task["accuracy"], "gate_agreement": report["L1"]["agreement"],
        "gate_flips": report["L1"]["flips"], "calibration": record["calibration"],
        "calibration_samples": record["calibration_samples"],
        "layers_int8": len(record["layers"]), "float32_layers": record["float32"],
        "errors": {name: row["error"] for name, row in record["layers"].items()},
        "validated": code == 0, **{level: report[level]["passed"] for level in ("L0", "L1", "L2")},
    }  # fmt: skip


def fine_tuned(folders: dict[str, Path], place: Path) -> int:
    """Networks with outliers: all layers as bytes, with accuracy control, and after `sanp train --int8`.

    Exit code 1 if one that was trained is no better than what accuracy control makes of it.
    """
    rows = []
    for name, folder in folders.items():
        source = checkpoint.load(folder / "checkpoint.safetensors")
        assert source.config is not None
        broken, learned = folder / "outliers", folder / "outliers-int8"
        broken.mkdir(exist_ok=True)
        with_outliers(source.model, torch.from_numpy(test_samples(source, 256)[0]))
        checkpoint.save(
            broken / "checkpoint.safetensors", source.model, source.config, num_classes=10,
            in_channels=source.in_channels, metadata=source.metadata,
        )  # fmt: skip
        code, _ = cli("train", "--int8", "--trained", broken / "checkpoint.safetensors", "-o", learned, "--replace")
        if code:
            raise subprocess.CalledProcessError(code, f"sanp train --int8 of {broken}")
        row = {
            "name": name, "model": MODEL, "width": WIDTH, "image_size": SIZE, "outlier": OUTLIER,
            "all_int8": deployed(broken, "--max-drop", "1"), "control": deployed(broken), "trained": deployed(learned),
        }  # fmt: skip
        rows.append(row)
        print(
            f"{name:10} float32 {row['all_int8']['float32']:.2%}, int8 {row['all_int8']['int8']:.2%}, with accuracy "
            f"control {row['control']['int8']:.2%} in {row['control']['layers_int8']} layers, trained "
            f"{row['trained']['int8']:.2%} in {row['trained']['layers_int8']} layers",
            flush=True,
        )
    write_rows(place, rows)
    return 0 if all(row["trained"]["int8"] > row["control"]["int8"] for row in rows) else 1


def measure(folders: dict[str, Path], place: Path, *flags: str) -> int:
    """Quantise what was trained and write the rows; exit code 1 if a network does not validate or loses too much."""
    rows = []
    for name, folder in folders.items():
        rows.append({"name": name, "model": MODEL, "width": WIDTH, "image_size": SIZE, **deployed(folder, *flags)})
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
    options.add_argument("--fine-tune", action="store_true", help="train networks with outliers for bytes instead")
    options.add_argument("--calibration", default="auto", help="how --measure finds ranges, as in sanp compile")
    options.add_argument("--json", type=Path, help="where the rows go [default: int8.json or int8-fine-tuned.json]")
    args = options.parse_args()
    cases = {f"{dataset}-{seed}": (dataset, seed) for dataset in SETTINGS for seed in SEEDS}
    folders = {name: args.folder / name for name in cases if args.only in name}
    if args.fine_tune:
        folders = {name: folder for name, folder in folders.items() if (folder / "checkpoint.safetensors").is_file()}
        return fine_tuned(folders, args.json or RESULTS / "int8-fine-tuned.json")
    if args.measure:
        return measure(folders, args.json or RESULTS / "int8.json", "--calibration", args.calibration)
    for name, (dataset, seed) in cases.items():
        if args.only in name:
            common = {"model": MODEL, "dataset": dataset, "seed": seed, "width": WIDTH, "image_size": SIZE}
            train_once(args.folder / name, {**common, **SETTINGS[dataset]})
            print(f"{name}: trained", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
