"""Does every backbone train, and does the trained network survive the way to the device? One command, one JSON.

    python -m benchmarks.training.backbones
    python -m benchmarks.training.backbones --models vgg-19 --datasets digits

Each row is what a user does: `sanp train`, `sanp export`, `sanp compile` and `sanp validate`, each in a process of its
own, with the default recipe and the same options for all networks. Epoch times are the median wall times of the run;
the ratio of a joint step to a dense one is measured apart, interleaved and in CPU time (see step_time.py).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import parser
from benchmarks.training.rows import RESULTS, write_rows
from benchmarks.training.step_time import measure
from sanp import checkpoint, models

WIDTH, SIZE = 0.25, 16
SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {},
    "mixcues": {
        "augment": False,  # the generator moves and turns everything already
        "pretrain_epochs": 8,  # the proportions of the default epochs
        "warmup_epochs": 2,
        "joint_epochs": 32,
        "data_options": {"modes": 4, "train_size": 4000, "val_size": 1000, "test_size": 4000},
    },
}


def cli(*words: object) -> tuple[int, dict[str, Any]]:
    """Exit code and --json output of one command."""
    command = [sys.executable, "-c", "from sanp.cli.app import main; main()", *map(str, words), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}


def train_once(folder: Path, settings: Mapping[str, Any]) -> None:
    """`sanp train` with these settings unless it was done, resumed if it was begun; CalledProcessError if it fails."""
    if (folder / "checkpoint.safetensors").is_file():
        return
    begun = ["--resume"] if (folder / "state.safetensors").is_file() else []
    code, _ = cli("train", "-o", folder, *as_flags(settings), *begun)
    if code:
        raise subprocess.CalledProcessError(code, f"sanp train in {folder}")


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as flags of the command line."""
    return [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def trained(model: str, dataset: str, folder: Path) -> dict[str, Any]:
    """`sanp train`; accuracies, costs and epoch times. Raises CalledProcessError if it fails."""
    options = {"width": WIDTH, "image_size": SIZE, **SETTINGS[dataset]}
    code, summary = cli("train", "--model", model, "--dataset", dataset, "-o", folder, *as_flags(options))
    if code:
        raise subprocess.CalledProcessError(code, f"sanp train --model {model} --dataset {dataset}")
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = {
        stage: statistics.median(row["seconds"] for row in epochs if row["stage"] == stage)
        for stage in ("pretrain", "warmup", "joint")
    }
    test = checkpoint.load(folder / "checkpoint.safetensors").metadata["test"]
    keys = ("accuracy", "dense_accuracy", "cost")
    return {**{key: summary[key] for key in keys}, "dynamic": test["dynamic"], "epoch_s": seconds}


def deployed(folder: Path) -> dict[str, Any]:
    """`sanp export`, `sanp compile` and `sanp validate` of the run in `folder`: gated layers and the verdicts."""
    source, model, bundle = folder / "checkpoint.safetensors", folder / "model.onnx", folder / "model.sanp"
    exported = cli("export", source, "-o", model)[1]
    compiled = cli("compile", model, "-o", bundle)[1]
    code, report = cli("validate", bundle, "--checkpoint", source)
    verdicts = {level: report[level]["passed"] for level in ("L0", "L1", "L2")}
    return {
        "gated": len(exported["gated"]), "dense_macs": exported["dense_macs"], "validated": code == 0, **verdicts,
        "samples": report["samples"], "task": report["L2"], "proof": compiled["proof"],
    }  # fmt: skip


def run(model: str, dataset: str, steps: int) -> dict[str, Any]:
    """One row: train, deploy, time."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        row = {"model": model, "width": WIDTH, "dataset": dataset, "image_size": SIZE}
        row |= trained(model, dataset, Path(folder))
        row["train_s"] = time.perf_counter() - started
        row |= deployed(Path(folder))
    row["step_time"] = measure(model, WIDTH, SIZE, steps)
    row["seconds"] = time.perf_counter() - started
    return row


def main() -> None:
    """Run the grid; rows are written as they finish. Exit code 1 if a network does not validate."""
    made = parser(__doc__)
    made.add_argument("--models", nargs="+", default=list(models.NAMES), choices=models.NAMES)
    made.add_argument("--datasets", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    made.add_argument("--steps", type=int, default=15, help="steps of the time measurement")
    made.add_argument("--output", type=Path, default=RESULTS / "backbones.json")
    arguments = made.parse_args()
    torch.set_num_threads(1)
    rows = []
    for dataset in arguments.datasets:
        for model in arguments.models:
            row = run(model, dataset, arguments.steps)
            rows.append(row)
            print(
                f"{model} on {dataset}: accuracy {row['accuracy']:.4f} (dense {row['dense_accuracy']:.4f}), cost "
                f"{row['cost']:.4f}, L0 {row['L0']} L1 {row['L1']} L2 {row['L2']}, joint / dense step "
                f"{row['step_time']['ratio']:.2f}, {row['seconds']:.0f} s",
                flush=True,
            )
            write_rows(arguments.output, rows)
    sys.exit(0 if all(row["validated"] for row in rows) else 1)


if __name__ == "__main__":
    main()
