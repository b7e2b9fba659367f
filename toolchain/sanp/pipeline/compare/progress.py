"""One bar over the whole matrix, whoever does the work: finished epochs are counted in the files that runs write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sanp.pipeline.compare.matrix import Cell
from sanp.pipeline.compare.training import METRICS, TRAINED

_EVERY_S = 1.0


def epochs_done(root: Path, cells: Sequence[Cell]) -> int:
    """Epochs that these runs have finished."""
    return sum(_epochs(root, cell) for cell in cells)


def _epochs(root: Path, cell: Cell) -> int:
    folder = root / cell.folder
    if (folder / TRAINED).is_file():
        return cell.epochs  # also where a stage ended before its last epoch
    try:
        return min(cell.epochs, (folder / METRICS).read_bytes().count(b"\n"))
    except OSError:
        return 0


class Watch:
    """Shows one phase after the other on stderr."""

    def __init__(self, show: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show,
        )

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @contextmanager
    def phase(self, name: str, total: int, count: Callable[[], int]) -> Iterator[None]:
        """Move a bar to count() of total, every second until the phase is over."""
        task, over = self._bar.add_task(name, total=total), threading.Event()

        def look() -> None:
            while not over.wait(_EVERY_S):
                self._bar.update(task, completed=count())

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._bar.update(task, completed=count())
