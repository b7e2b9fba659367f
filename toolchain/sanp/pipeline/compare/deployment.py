"""The steps of one cell after its training. Each knows by checksums what it was made of, and is not done again."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from sanp.pipeline.compare.matrix import Cell
from sanp.pipeline.compare.training import (
    BUNDLE,
    CHECKPOINT,
    MODEL,
    PROFILE,
    VALIDATION,
    read_json,
    write_result,
)
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.describe import properties_of
from sanp.pipeline.export import export
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.validate import validate
from sanp.settings.compare import CompareSettings
from sanp_export.graph import model_file
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.latency.conditions import require_conditions
from sanp_runtime.latency.table import read_table
from sanp_targets.errors import InputError, SanpError
from sanp_targets.targets import resolve


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
        write_result(folder / VALIDATION, result.to_json())


def profile_cell(root: Path, cell: Cell, settings: CompareSettings) -> None:
    """Measure; nothing else may run meanwhile.

    ConfigError for a network that was trained for a time if its table is of another device, or of calls made otherwise.
    """
    folder = root / cell.folder
    if not _of_bundle(folder / PROFILE, folder / BUNDLE):
        profile_bundle(folder / BUNDLE, output=folder / PROFILE, duration=settings.duration, replace=True)
    found = read_json(folder / PROFILE)
    if cell.settings.table is not None and found is not None:
        require_conditions(read_table(cell.settings.table), found, open_bundle(folder / BUNDLE).manifest)


def _exported_from(model: Path) -> str | None:
    try:
        return str(properties_of(model_file.read(model)).get("checkpoint_sha256"))
    except SanpError:
        return None


def _of_bundle(result: Path, bundle: Path) -> bool:
    row = read_json(result)
    return row is not None and row.get("bundle", {}).get("digest") == open_bundle(bundle).digest()


STEPS = {"export": export_cell, "compile": compile_cell, "validate": validate_cell, "profile": profile_cell}
