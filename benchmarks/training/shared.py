"""Decisions shared by depthwise layers against a gate per layer: accuracy at equal MACs and at equal latency.

    python -m benchmarks.training.shared build/shared                 # trains what is missing, a minute or five a run
    python -m benchmarks.training.shared build/shared --measure       # validates and times what is there
    python -m benchmarks.training.shared build/wide --seeds 0 1 2 --jobs 6 --set width=1.0 --set image_size=96 \
        --set device=cuda --set cuda_graph=true                       # a larger network, on a GPU

MobileNetV2 x0.35 on MixCues at 48 pixels, linear bottlenecks without gates. For each seed one backbone; from it a
network for each kind of sharing and each budget, with the same epochs, data and seed, every one through `sanp export`,
`compile` and `validate`; beside them a narrowed network, and one whose gates are half open in half of the steps.
Latencies are those of all networks in turn in one process: one thread, batch 1, test images, logits only.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
CASES: dict[str, dict[str, Any]] = {
    "shared-0.6": {**JOINT, "share": "depthwise", "budget": 0.6},
    "shared-0.45": {**JOINT, "share": "depthwise", "budget": 0.45},
    "each-0.6": {**JOINT, "share": "none", "budget": 0.6},
    "each-0.45": {**JOINT, "share": "none", "budget": 0.45},
    "narrow-0.6": {"method": "narrow", "budget": 0.6},  # a smaller network of the same cost, with all the epochs
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
    """Median ms per image of `gated` and `open` of every network, or of `dense` without gates, all in turn."""
    first = checkpoint.load(next(iter(folders.values())) / "checkpoint.safetensors")
    images, _ = test_samples(first, SAMPLES)
    runs = {}
    for name, folder in folders.items():
        bundle = open_bundle(folder / "model.sanp")
        for variant in (GATED, OPEN) if GATED in bundle.manifest.variants else (DENSE,):
            runs[f"{name} {variant}"] = variant_runs(bundle, variant, images)
    times = interleaved_seconds(list(runs.values()), ROUNDS, batch_seconds=0.03)
    return {name: statistics.median(rows) * 1e3 for name, rows in zip(runs, times)}


def setting(pair: str) -> tuple[str, Any]:
    """A key=value of the command line; the value is JSON where it parses as JSON, text otherwise."""
    key, _, text = pair.partition("=")
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def variant_runs(bundle: Bundle, variant: str, images: np.ndarray) -> Callable[[], Any]:
    """One image after another through a variant."""
    engine = load(bundle.path, variant=variant)
    return in_turn([engine.bind(np.ascontiguousarray(image[None])) for image in images])


def planned(
    seeds: list[int], cases: list[str], changes: dict[str, Any], gate_changes: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the backbones, and of every other run: gates start from the backbone of their seed."""
    backbones, others = {}, {}
    for seed in seeds:
        common = {**SETTINGS, "seed": seed, **changes}
        backbones[f"backbone-seed{seed}"] = backbone = {**common, **BACKBONE, **changes}
        for case in cases:
            if "share" in CASES[case]:
                others[f"{case}-seed{seed}"] = {**common, **CASES[case], **gate_changes}
            else:
                joint = {**JOINT, **gate_changes}
                epochs = backbone["pretrain_epochs"] + joint["warmup_epochs"] + joint["joint_epochs"]
                others[f"{case}-seed{seed}"] = {**common, **CASES[case], "pretrain_epochs": epochs}
    return backbones, others


def train_missing(folder: Path, runs: dict[str, Any], jobs: int) -> bool:
    """Train the runs that are not there, `jobs` at a time; whether all of them ended well."""

    def one(run: tuple[str, dict[str, Any]]) -> bool:
        name, settings = run
        try:
            train_once(folder / name, settings)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error}", flush=True)
            return False
        print(f"{name}: trained", flush=True)
        return True

    with ThreadPoolExecutor(jobs) as pool:
        return all(list(pool.map(one, runs.items())))


def measured(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """Rows of the runs that are trained, in the order of `names`, validated and timed in turn."""
    there = {name: folder / name for name in names if (folder / name / "checkpoint.safetensors").is_file()}
    rows = {name: {"name": name, **deployed(path)} for name, path in there.items()}
    for key, milliseconds in latencies(there).items():
        name, variant = key.rsplit(" ", 1)
        rows[name][f"{variant}_ms"] = milliseconds
    for row in rows.values():
        shown = ", ".join(f"{key[:-3]} {row[key]:.3f} ms" for key in row if key.endswith("_ms"))
        print(f"{row['name']:22} accuracy {row['accuracy']:.1%} cost {row['cost']:.1%} {shown}, "
              f"validated {row['validated']}")  # fmt: skip
    return list(rows.values())


def main() -> int:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of the runs")
    options.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="some of the cases")
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--jobs", type=int, default=1, help="runs side by side")
    options.add_argument("--set", action="append", default=[], metavar="key=value", help="a setting of every run")
    options.add_argument("--set-gated", action="append", default=[], metavar="key=value", help="one of runs with gates")
    options.add_argument("--measure", action="store_true", help="validate and time instead of training")
    options.add_argument("--json", type=Path, default=RESULTS / "shared.json", help="where the rows go")
    args = options.parse_args()
    changes, gate_changes = (dict(setting(pair) for pair in pairs) for pairs in (args.set, args.set_gated))
    backbones, others = planned(args.seeds, args.only, changes, gate_changes)
    if args.measure:
        rows = measured(args.folder, [*backbones, *others])
        write_rows(args.json, rows, settings={**backbones, **others})
        return 0
    for name, settings in others.items():
        if "share" in settings:
            backbone = args.folder / f"backbone-{name.rpartition('-')[2]}"
            settings["pretrained"] = str(backbone / "checkpoint.safetensors")
    trained = [train_missing(args.folder, runs, args.jobs) for runs in (backbones, others)]
    return int(not all(trained))


if __name__ == "__main__":
    sys.exit(main())
