"""The steps of one cell, each a file that says of what it was made: a step whose file fits is not done again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanp import checkpoint
from sanp.data import Dataset
from sanp.pipeline.compare.matrix import Cell
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.describe import properties_of
from sanp.pipeline.export import export
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.validate import validate
from sanp.settings.compare import CompareSettings
from sanp.settings.train import TrainSettings
from sanp.training import train
from sanp_export.graph import model_file
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.bundle.result_json import dumps
from sanp_targets.errors import ConfigError, InputError, SanpError, ValidationError
from sanp_targets.targets import resolve

CHECKPOINT, DENSE, STATE, METRICS = "checkpoint.safetensors", "dense.safetensors", "state.safetensors", "metrics.jsonl"
TRAINED, MODEL, BUNDLE, VALIDATION, PROFILE = (
    "trained.json",
    "model.onnx",
    "model.sanp",
    "validation.json",
    "profile.json",
)
# What may differ between two machines that work on one comparison.
_ELSEWHERE = ("pretrained", "device", "data_root", "save_every_s")


def trained(root: Path, cell: Cell) -> dict[str, Any] | None:
    """What the training of a cell reached, None if it is not finished.

    Raises ConfigError if the folder holds a run with other settings.
    """
    row = _read(root / cell.folder / TRAINED)
    if row is None:
        return None
    now, then = _identity(cell.settings), row.get("settings", {})
    changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
    if changed:
        raise ConfigError(
            f"{root / cell.folder} was trained with {changed[0]} = {then.get(changed[0])!r}, now it is "
            f"{now.get(changed[0])!r}; compare into another folder, or remove this one to train it again"
        )
    return row


def train_cell(root: Path, cell: Cell, dataset: Dataset) -> None:
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
        "seconds": None if resume else time.monotonic() - begun,
        "device": settings.device,
    }
    _write(folder / TRAINED, row)
    for name in (STATE, DENSE):  # the backbone is kept once, in its own folder
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def export_cell(root: Path, cell: Cell, settings: CompareSettings) -> None:
    """Export with PyTorch's answers; a network that lost channels gets its backbone as the parent to be timed with."""
    folder = root / cell.folder
    made_from = hashlib.sha256((folder / CHECKPOINT).read_bytes()).hexdigest()
    if _exported_from(folder / MODEL) == made_from:
        return
    export(
        folder / CHECKPOINT,
        folder / MODEL,
        samples=settings.samples,
        data_root=settings.training.data_root,
        replace=True,
    )


def compile_cell(root: Path, cell: Cell, settings: CompareSettings) -> None:
    """Compile for the target."""
    folder = root / cell.folder
    made_from = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    with contextlib.suppress(InputError):
        found = open_bundle(folder / BUNDLE).manifest
        if (found.source.get("onnx_sha256"), found.target["name"]) == (made_from, resolve(settings.target).name):
            return
    compile_model(folder / MODEL, folder / BUNDLE, target=settings.target, replace=True)


def validate_cell(root: Path, cell: Cell, settings: CompareSettings) -> None:
    """Compare with PyTorch on the whole test split; a level that fails is kept and told, and stops nothing."""
    folder = root / cell.folder
    if not _of_bundle(folder / VALIDATION, folder / BUNDLE):
        result = validate(folder / BUNDLE, folder / CHECKPOINT, data_root=settings.training.data_root)
        _write(folder / VALIDATION, result.to_json())


def profile_cell(root: Path, cell: Cell, settings: CompareSettings) -> None:
    """Measure; nothing else may run meanwhile."""
    folder = root / cell.folder
    if not _of_bundle(folder / PROFILE, folder / BUNDLE):
        profile_bundle(folder / BUNDLE, output=folder / PROFILE, duration=settings.duration, replace=True)


def read_result(root: Path, cell: Cell, name: str) -> dict[str, Any] | None:
    """A result of a cell, None if that step has not been done."""
    return _read(root / cell.folder / name)


def _identity(settings: TrainSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude=set(_ELSEWHERE))


def _exported_from(model: Path) -> str | None:
    try:
        return str(properties_of(model_file.read(model)).get("checkpoint_sha256"))
    except SanpError:
        return None


def _of_bundle(result: Path, bundle: Path) -> bool:
    row = _read(result)
    return row is not None and row.get("bundle", {}).get("digest") == open_bundle(bundle).digest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected a result; remove it to make it again") from error
    return content if isinstance(content, dict) else None


def _write(path: Path, row: Mapping[str, Any]) -> None:
    write_atomically(path, dumps(row).encode())
