"""Decisions shared by depthwise layers against a gate per layer: accuracy at equal MACs and at equal latency.

    python -m benchmarks.training.shared build/shared                 # trains what is missing, a minute or five a run
    python -m benchmarks.training.shared build/shared --measure       # validates and times what is there

MobileNetV2 x0.35 on MixCues at 48 pixels, linear bottlenecks without gates. One backbone; from it a network for each
kind of sharing and each budget, with the same epochs, data and seed, every one through `sanp export`, `compile` and
`validate`; beside them a narrowed network, and one whose gates are half open in half of the steps. Latencies are those
of all networks in turn in one process: one thread, batch 1, test images, logits only.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import parser
from benchmarks.timing import in_turn, interleaved_seconds
from benchmarks.training.backbones import cli, train_once
from benchmarks.training.rows import RESULTS, write_rows
from sanp import checkpoint
from sanp.pipeline.export import test_samples
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.contract import DENSE, GATED, OPEN
from sanp_runtime.engines.load import load

SETTINGS: dict[str, Any] = {
    "model": "imagenet-mobilenet-v2", "width": 0.35, "image_size": 48, "augment": False, "dataset": "mixcues",
    "data_options": {"modes": 4, "train_size": 4000, "val_size": 10, "test_size": 2000},
}  # fmt: skip
BACKBONE = {"method": "dense", "pretrain_epochs": 14}
# No half-open gates: 35 layers of them take this network from 88 % to 22 % before it has learned anything.
JOINT = {
    "method": "sanp", "layers": "inner", "soft_share": 0.0, "warmup_epochs": 2, "joint_epochs": 24, "joint_lr": 0.015,
}  # fmt: skip
NARROW = {"method": "narrow", "pretrain_epochs": 14 + 2 + 24}  # a smaller network of the same cost and all the epochs
CASES: dict[str, dict[str, Any]] = {
    "shared-0.6": {**JOINT, "share": "depthwise", "budget": 0.6},
    "shared-0.45": {**JOINT, "share": "depthwise", "budget": 0.45},
    "each-0.6": {**JOINT, "share": "none", "budget": 0.6},
    "each-0.45": {**JOINT, "share": "none", "budget": 0.45},
    "narrow-0.6": {**NARROW, "budget": 0.6},
    "half-open-0.6": {**JOINT, "soft_share": 0.5, "share": "depthwise", "budget": 0.6},
}
SAMPLES, ROUNDS = 64, 41


def deployed(folder: Path) -> dict[str, Any]:
    """Export, compile and validate the run in `folder`: what it reached and the verdicts."""
    source, model, bundle = folder / "checkpoint.safetensors", folder / "model.onnx", folder / "model.sanp"
    if not bundle.is_dir():
        cli("export", source, "-o", model)
        cli("compile", model, "-o", bundle)
    code, report = cli("validate", bundle, "--checkpoint", source)
    test = checkpoint.load(source).metadata["test"]
    return {
        "accuracy": test["accuracy"], "cost": test["cost"], "dynamic": test.get("dynamic"), "validated": code == 0,
        **{level: report[level]["passed"] for level in ("L0", "L1", "L2") if report.get(level)},
    }  # fmt: skip


def latencies(folders: dict[str, Path]) -> dict[str, float]:
    """Median ms per image of the variants `gated` and `open` of every network, and of the backbone, all in turn."""
    first = checkpoint.load(next(iter(folders.values())) / "checkpoint.safetensors")
    images, _ = test_samples(first, SAMPLES)
    runs = {}
    for name, folder in folders.items():
        bundle = open_bundle(folder / "model.sanp")
        gated = GATED in bundle.manifest.variants
        for variant in (GATED, OPEN) if gated else (DENSE,):
            runs[f"{name} {variant}"] = variant_runs(bundle, variant, images)
        if gated and "dense" not in runs:
            runs["dense"] = variant_runs(bundle, DENSE, images)
    times = interleaved_seconds(list(runs.values()), ROUNDS, batch_seconds=0.03)
    return {name: statistics.median(rows) * 1e3 for name, rows in zip(runs, times)}


def variant_runs(bundle: Bundle, variant: str, images: np.ndarray) -> Callable[[], Any]:
    """One image after another through a variant."""
    engine = load(bundle.path, variant=variant)
    return in_turn([engine.bind(np.ascontiguousarray(image[None])) for image in images])


def main() -> int:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of the runs")
    options.add_argument("--only", default="", help="runs whose name contains this, such as each-0.6")
    options.add_argument("--measure", action="store_true", help="validate and time instead of training")
    options.add_argument("--json", type=Path, default=RESULTS / "shared.json", help="where the rows go")
    args = options.parse_args()
    folders = {name: args.folder / name for name in CASES if args.only in name}
    if not args.measure:
        train_once(args.folder / "backbone", {**SETTINGS, **BACKBONE})
        backbone = str(args.folder / "backbone" / "checkpoint.safetensors")
        for name, folder in folders.items():
            gated = "share" in CASES[name]
            train_once(folder, {**SETTINGS, **CASES[name], **({"pretrained": backbone} if gated else {})})
            print(f"{name}: trained", flush=True)
        return 0
    folders = {name: folder for name, folder in folders.items() if (folder / "checkpoint.safetensors").is_file()}
    rows = [{"name": name, **CASES[name], **deployed(folder)} for name, folder in folders.items()]
    dense = checkpoint.load(args.folder / "backbone" / "checkpoint.safetensors").metadata["test"]["accuracy"]
    times = latencies(folders)
    for name, row in zip(folders, rows):
        row.update({f"{key.rpartition(' ')[2]}_ms": time for key, time in times.items() if key.startswith(f"{name} ")})
        shown = ", ".join(f"{key[:-3]} {row[key]:.3f} ms" for key in row if key.endswith("_ms"))
        print(f"{name:16} accuracy {row['accuracy']:.1%} cost {row['cost']:.1%} {shown}, validated {row['validated']}")
    print(f"dense            accuracy {dense:.1%} {times['dense']:.3f} ms")
    write_rows(args.json, [{"name": "dense", "accuracy": dense, "dense_ms": times["dense"]}, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
