"""What a person and a dashboard see of a run: progress bar on stderr, JSON lines, TensorBoard where installed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Journal:
    """Writes one row per epoch to metrics.jsonl and TensorBoard, and shows the current stage."""

    def __init__(self, output: Path, show: bool, write: bool = True) -> None:
        self._path = output / "metrics.jsonl" if write else None
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=not show,
        )
        self._board = _summary_writer(output / "tensorboard") if write else None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Journal:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._board is not None:
            self._board.close()

    def step(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Move a stage's bar to `done` of `total` steps; an empty note keeps the last one."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note="")
        fields: dict[str, Any] = {"note": note} if note else {}
        self._progress.update(self._tasks[stage], completed=done, **fields)

    def say(self, message: str) -> None:
        """A line on stderr, with the bars below it."""
        if not self._progress.disable:
            self._progress.console.print(message, markup=False, highlight=False)

    def restart(self, rows: list[dict[str, Any]]) -> None:
        """Make metrics.jsonl hold exactly these rows: a killed run may have written epochs that are trained again."""
        if self._path is not None:
            self._path.write_text("".join(_line(row) for row in rows), encoding="utf-8")

    def epoch(self, row: dict[str, Any]) -> None:
        """Append a row; numbers also go to TensorBoard under the stage's name."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(row))
        if self._board is None:
            return
        for key, value in row.items():
            if isinstance(value, float):
                self._board.add_scalar(f"{row['stage']}/{key}", value, row["epoch"])


def _line(row: dict[str, Any]) -> str:
    """One line of JSON; a number that is not finite is null, because JSON has no such number."""
    finite = {key: None if isinstance(item, float) and not math.isfinite(item) else item for key, item in row.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
