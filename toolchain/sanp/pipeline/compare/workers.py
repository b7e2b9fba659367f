"""Cells in several processes: each keeps its data set and has its share of the processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

import torch

from sanp.data import Dataset, Streamed
from sanp.pipeline.compare.matrix import Cell
from sanp.pipeline.compare.training import train_cell
from sanp.settings.compare import CompareSettings
from sanp.settings.train import TrainSettings
from sanp.training import load_data
from sanp_targets.errors import SanpError, TrainingInterrupted

_ORPHAN_S = 2.0


def run_step(root: Path, cell: Cell, settings: CompareSettings, step: str) -> str | None:
    """One step of one cell, in whatever process; the sentence of an error that belongs to this cell, else None."""
    try:
        if step == "train":
            train_cell(root, cell, _data(cell.settings.model_dump_json(include=_DATA)))
        else:
            # Here, because a machine that only trains lacks ONNX.
            from sanp.pipeline.compare.deployment import STEPS

            STEPS[step](root, cell, settings)
    except SanpError as error:
        if isinstance(error, TrainingInterrupted):
            raise
        return str(error)
    return None


class Workers:
    """Runs steps in `jobs` processes, or in this one if that is one."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.jobs > 1:
            threads = max(1, (os.cpu_count() or 1) // self.jobs)
            context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
            self._pool = ProcessPoolExecutor(self.jobs, context, _start, (threads, os.getpid()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for child in multiprocessing.active_children():
                child.terminate()  # a training saves its state first
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(
        self, root: Path, cells: Sequence[Cell], settings: CompareSettings, step: str, done: Callable[[], None]
    ) -> dict[Path, str]:
        """Do a step for all cells; folder -> sentence for those that failed. done: called after each cell.

        A cell waits for its backbone, and fails with it. Most epochs first, then in the order of the methods: name slow
        ones first, and the last ones are short.
        """
        failed: dict[Path, str] = {}
        labels = list(dict.fromkeys(cell.label for cell in cells))
        first = {cell.backbone for cell in cells}
        ready = sorted(cells, key=lambda cell: (cell.folder not in first, -cell.epochs, labels.index(cell.label)))
        waiting = {cell.folder for cell in cells}
        running: dict[Future[str | None], Cell] = {}
        with _terminable():
            while ready or running:
                for cell in [cell for cell in ready if cell.backbone not in waiting]:
                    ready.remove(cell)
                    if cell.backbone in failed:
                        failed[cell.folder] = f"its backbone failed: {failed[cell.backbone]}"
                        waiting.discard(cell.folder)
                    elif self._pool is None:
                        _note(failed, cell, run_step(root, cell, settings, step))
                        waiting.discard(cell.folder)
                        done()
                    else:
                        running[self._pool.submit(run_step, root, cell, settings, step)] = cell
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    cell = running.pop(future)
                    _note(failed, cell, future.result())
                    waiting.discard(cell.folder)
                    done()
        return failed


def _note(failed: dict[Path, str], cell: Cell, sentence: str | None) -> None:
    if sentence is not None:
        failed[cell.folder] = sentence


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM stops the comparison as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(threads: int, parent: int) -> None:
    """Set up a process: its threads, and a watch that ends it when the comparison was killed."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the comparison decides who stops, and how

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_DATA = {"dataset", "data_root", "data_options", "image_size"}


@cache
def _data(text: str) -> Dataset | Streamed:
    """The data set of these settings, loaded once in a process."""
    return load_data(TrainSettings.model_validate_json(text))
