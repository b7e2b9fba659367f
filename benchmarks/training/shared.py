"""Decisions shared by depthwise layers against a gate per layer: accuracy at equal MACs and at equal latency.

    python -m benchmarks.training.shared build/shared                 # trains what is missing, a minute or five a run
    python -m benchmarks.training.shared build/shared --measure       # validates and times what is there

MobileNetV2 x0.35 on MixCues at 48 pixels. One backbone; from it a network for each kind of sharing and each budget,
with the same epochs, data and seed, every one through `sanp export`, `compile` and `validate`. Latencies are
those of all networks in turn in one process: one thread, batch 1, test images, logits only.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import parser
from benchmarks.timing import in_turn, interleaved_seconds
from benchmarks.training.backbones import cli
from benchmarks.training.rows import RESULTS, write_rows
from sanp import checkpoint
from sanp.pipeline.export import test_samples
from sanp_runtime.engines.load import load

SETTINGS: dict[str, Any] = {
    "model": "imagenet-mobilenet-v2", "width": 0.35, "image_size": 48, "augment": False, "dataset": "mixcues",
    "data_options": {"modes": 4, "train_size": 4000, "val_size": 10, "test_size": 2000},
}  # fmt: skip
BACKBONE = {"method": "dense", "pretrain_epochs": 14}
# FIXED K, because the cost loss of SANP with its defaults loses the accuracy of this network (docs/training.md).
JOINT = {"method": "fixed-k", "warmup_epochs": 2, "joint_epochs": 10, "joint_lr": 0.015}
SHARES, BUDGETS = ("depthwise", "none"), (0.6, 0.45)
SAMPLES, ROUNDS = 64, 41


def train(folder: Path, settings: dict[str, Any]) -> None:
    """`sanp train` unless it was done; CalledProcessError if it fails."""
    if (folder / "checkpoint.safetensors").is_file():
        return
    sets = [part for key, value in {**SETTINGS, **settings}.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    begun = ["--resume"] if (folder / "state.safetensors").is_file() else []
    code, _ = cli("train", "-o", folder, *sets, *begun)
    if code:
        raise subprocess.CalledProcessError(code, f"sanp train in {folder}")


def deployed(folder: Path) -> dict[str, Any]:
    """Export, compile and validate the run in `folder`: what it reached and the verdicts."""
    source, model, bundle = folder / "checkpoint.safetensors", folder / "model.onnx", folder / "model.sanp"
    if not bundle.is_dir():
        cli("export", source, "-o", model)
        cli("compile", model, "-o", bundle)
    code, report = cli("validate", bundle, "--checkpoint", source)
    test = checkpoint.load(source).metadata["test"]
    return {
        "accuracy": test["accuracy"], "cost": test["cost"], "dynamic": test["dynamic"], "validated": code == 0,
        **{level: report[level]["passed"] for level in ("L0", "L1", "L2")},
    }  # fmt: skip


def latencies(folders: dict[str, Path]) -> dict[str, float]:
    """Median ms per image of the variants `gated` and `open` of every network, and of the backbone."""
    first = checkpoint.load(next(iter(folders.values())) / "checkpoint.safetensors")
    images, _ = test_samples(first, SAMPLES)
    runs = {}
    for name, folder in folders.items():
        for variant in ("gated", "open") if runs else ("dense", "gated", "open"):
            engine = load(folder / "model.sanp", variant=variant)
            calls = [engine.bind(np.ascontiguousarray(image[None])) for image in images]
            runs[f"{name} {variant}" if variant != "dense" else "dense"] = in_turn(calls)
    times = interleaved_seconds(list(runs.values()), ROUNDS, batch_seconds=0.03)
    return {name: statistics.median(rows) * 1e3 for name, rows in zip(runs, times)}


def main() -> int:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of the runs")
    options.add_argument("--only", default="", help="runs whose name contains this, such as 'none 0.6'")
    options.add_argument("--measure", action="store_true", help="validate and time instead of training")
    options.add_argument("--json", type=Path, default=RESULTS / "shared.json", help="where the rows go")
    args = options.parse_args()
    cases = {f"{share} {budget:g}": (share, budget) for budget in BUDGETS for share in SHARES}
    folders = {name: args.folder / name.replace(" ", "-") for name in cases}
    if not args.measure:
        train(args.folder / "backbone", BACKBONE)
        backbone = str(args.folder / "backbone" / "checkpoint.safetensors")
        for name, (share, budget) in cases.items():
            if args.only not in name:
                continue
            train(folders[name], {**JOINT, "pretrained": backbone, "share": share, "budget": budget})
            print(f"{name}: trained", flush=True)
        return 0
    cases = {name: case for name, case in cases.items() if (folders[name] / "checkpoint.safetensors").is_file()}
    folders = {name: folders[name] for name in cases}
    rows = [{"share": share, "budget": budget, **deployed(folders[name])} for name, (share, budget) in cases.items()]
    dense = checkpoint.load(args.folder / "backbone" / "checkpoint.safetensors").metadata["test"]["accuracy"]
    times = latencies(folders)
    for name, row in zip(cases, rows):
        row.update(gated_ms=times[f"{name} gated"], open_ms=times[f"{name} open"])
        print(f"{name:16} accuracy {row['accuracy']:.1%} cost {row['cost']:.1%} gated {row['gated_ms']:.3f} ms, "
              f"open {row['open_ms']:.3f} ms, validated {row['validated']}")  # fmt: skip
    print(f"dense            accuracy {dense:.1%} {times['dense']:.3f} ms")
    write_rows(args.json, [{"share": "dense", "accuracy": dense, "dense_ms": times["dense"]}, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
