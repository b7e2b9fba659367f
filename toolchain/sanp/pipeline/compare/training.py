"""The training of one cell, and where its files are. Nothing here needs ONNX: a machine that only trains has none."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanp import checkpoint
from sanp.data import Dataset, Streamed
from sanp.pipeline.compare.matrix import Cell
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.latency.table import digest
from sanp_targets.errors import ConfigError, InputError, ValidationError

CHECKPOINT, DENSE, STATE, METRICS = "checkpoint.safetensors", "dense.safetensors", "state.safetensors", "metrics.jsonl"
TRAINED, MODEL, BUNDLE, VALIDATION, PROFILE = (
    "trained.json",
    "model.onnx",
    "model.sanp",
    "validation.json",
    "profile.json",
)
# What may differ between two machines that work on one comparison.
_ELSEWHERE = ("pretrained", "device", "data_root", "save_every_s", "threads")


def trained(root: Path, cell: Cell) -> dict[str, Any] | None:
    """What the training of a cell reached, None if it is not finished.

    Raises ConfigError if the folder holds a run with other settings.
    """
    row = read_json(root / cell.folder / TRAINED)
    if row is None:
        return None
    now, then = _identity(cell.settings), row.get("settings", {})
    now, then = _flat(now), _flat(then)
    changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
    if changed:
        found = ", ".join(f"{key} = {then.get(key, 'unset')}" for key in changed[:4])
        asked = ", ".join(str(now.get(key, "unset")) for key in changed[:4])
        why = " (epochs follow from --epochs and --pretrain-epochs)" if any("epochs" in key for key in changed) else ""
        raise ConfigError(
            f"{root / cell.folder} was trained with {found}, this comparison asks for {asked}{why}; compare into "
            "another folder or with the settings of then, or remove this one to train it again"
        )
    return row


def train_cell(root: Path, cell: Cell, dataset: Dataset | Streamed) -> None:
    """Train, or go on where an earlier call was stopped; keeps the checkpoint, the epochs and what was reached."""
    if trained(root, cell) is not None:
        return
    folder = root / cell.folder
    start = root / cell.backbone / CHECKPOINT if cell.backbone is not None else None
    settings = cell.settings.model_copy(update={"pretrained": start})
    resume, begun, over = (folder / STATE).is_file(), time.monotonic(), False
    try:
        train(settings, output=folder, progress=False, resume=resume, dataset=dataset)
    except ValidationError:  # over its budget: the checkpoint is there, and the row says what it costs
        over = True
    found = checkpoint.load(folder / CHECKPOINT).metadata
    row = {
        "settings": _identity(cell.settings),
        "test": found["test"],
        "uncalibrated": found["uncalibrated"],
        "start_accuracy": found["dense_accuracy"],
        "over_budget": over,
        "latency": found.get("latency"),
        "seconds": None if resume else time.monotonic() - begun,
        "device": settings.device,
    }
    write_result(folder / TRAINED, row)
    for name in (STATE, DENSE):  # the backbone is kept once, in its own folder
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def read_result(root: Path, cell: Cell, name: str) -> dict[str, Any] | None:
    """A result of a cell, None if that step has not been done."""
    return read_json(root / cell.folder / name)


def _identity(settings: TrainSettings) -> dict[str, Any]:
    row = settings.model_dump(mode="json", exclude=set(_ELSEWHERE))
    if settings.table is not None:  # what it holds; another machine has it elsewhere
        row["table"] = digest(settings.table)
    return row


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the options of the method beside them: a sentence names the one that changed, not all of them."""
    parts = [row[key] for key in ("options", "data_options") if isinstance(row.get(key), dict)]
    return {key: value for part in ({k: v for k, v in row.items() if not isinstance(v, dict)}, *parts)
            for key, value in part.items()}  # fmt: skip


def read_json(path: Path) -> dict[str, Any] | None:
    """A result file, None if there is none; InputError if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected a result; remove it to make it again") from error
    return content if isinstance(content, dict) else None


def write_result(path: Path, row: Mapping[str, Any]) -> None:
    """Write a result file at once."""
    write_atomically(path, dumps(row).encode())
