"""`sanp compare`: plan, then phase by phase; each phase does what no earlier call has done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sanp.pipeline.compare.matrix import Matrix, check_all, check_devices, plan
from sanp.pipeline.compare.progress import Watch, epochs_done
from sanp.pipeline.compare.results import points, rows
from sanp.pipeline.compare.training import trained
from sanp.pipeline.compare.workers import Workers
from sanp.report.comparison import DATA, files
from sanp.settings.compare import PHASES, CompareSettings
from sanp.training import load_data
from sanp_runtime.bundle.files import check_outside_bundles, write_atomically
from sanp_targets.device import describe, fingerprint
from sanp_targets.targets import resolve

Log = Callable[[str], None]
# Each cell alone: what runs beside a measurement is measured with it.
_ALONE = ("profile",)


@dataclass(frozen=True)
class Compared:
    """page: None if the call ended before the report. failed: folder of a cell -> the sentence of its error."""

    folder: Path
    result: dict[str, Any]
    page: Path | None
    failed: dict[Path, str]


def compare(
    folder: str | Path,
    settings: CompareSettings | None = None,
    *,
    progress: bool = True,
    log: Log = lambda text: None,
    **keywords: Any,
) -> Compared:
    """Train, export, compile, validate and profile every cell of the matrix into `folder`, and write the comparison.

    Settings are an object or its fields as keywords. A call does what is missing in the folder, so that a comparison
    that was stopped goes on, and one phase can run on another machine than the next (`until`). A cell that fails is
    told in the report and stops no other one. Raises ConfigError, before anything is trained, for methods, options,
    epochs or budgets that cannot be, and for a folder that holds runs with other settings.
    """
    root, chosen = Path(folder), CompareSettings.chosen(settings, keywords)
    check_outside_bundles(root / DATA)
    if chosen.until != PHASES[0]:  # a machine that only trains need not know the target
        resolve(chosen.target)
    matrix = plan(chosen)
    everything = (*matrix.backbones, *matrix.cells)
    open_cells = [cell for cell in everything if trained(root, cell) is None]
    if open_cells:
        log(f"checking {len(matrix.cells)} cells, {len(open_cells)} of {len(everything)} trainings are to be done")
        check_devices(open_cells)
        check_all(matrix, load_data(matrix.cells[0].settings))
    failed: dict[Path, str] = {}
    phases = PHASES[: PHASES.index(chosen.until) + 1]
    with Workers(min(chosen.jobs, len(everything))) as workers, Watch(progress) as watch:
        for phase in [name for name in phases if name != "report"]:
            wanted = everything if phase == "train" else matrix.cells
            cells = [cell for cell in wanted if cell.folder not in failed]
            finished: list[None] = []
            total, count = len(cells), finished.__len__
            if phase == "train":
                total, count = sum(cell.epochs for cell in cells), lambda done=cells: epochs_done(root, done)  # type: ignore[misc]
            who = Workers(1) if phase in _ALONE else workers
            with watch.phase(phase, total, count):
                failed.update(who.run(root, cells, chosen, phase, partial(finished.append, None)))
    result = _result(root, matrix, chosen, failed)
    write_atomically(root / DATA, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    page = None
    if chosen.until == PHASES[-1]:
        for name, content in files(result).items():
            write_atomically(root / name, content)
            page = root / name  # the last one
    return Compared(root, result, page, failed)


def _result(root: Path, matrix: Matrix, settings: CompareSettings, failed: dict[Path, str]) -> dict[str, Any]:
    table = rows(root, matrix, failed)
    reference = next((cell.label for cell in matrix.cells if cell.budget is None and cell.latency is None), None)
    device = fingerprint()
    return {
        "schema_version": 1,
        "kind": "comparison",
        "settings": settings.model_dump(mode="json"),
        "device": device,
        "device_name": describe(device),
        "reference": reference,
        "points": points(table, reference),
        "rows": table,
    }
