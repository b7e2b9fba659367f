"""A source of pictures on disk: worker processes decode them, in an order that does not depend on their number."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sanp.data import Streamed
from sanp.data.batch import Batch
from sanp.data.streamed import StreamedSplit, spread
from sanp.settings.train import TrainSettings
from sanp.training.arrays import check_batch
from sanp.training.processes import Processes
from sanp.training.source import Facts
from sanp_targets.errors import InputError, SanpError

_BATCH = 128  # pictures at a time where nothing is trained
_AHEAD = 2  # batches that every worker has ready
Request = tuple[int, int | None]  # row and seed; without a seed as evaluation sees it
Item = tuple[np.ndarray, int]


class _Decoder(Dataset[Item | str]):
    """Pixels and label of a request. What is wrong with a picture is returned as a sentence, to be raised outside."""

    def __init__(self, split: StreamedSplit) -> None:
        self.split = split

    def __getitem__(self, request: Request) -> Item | str:
        row, seed = request
        try:
            return self.split.pixels(row, seed), int(self.split.labels[row])
        except SanpError as error:
            return str(error)


class _Requests(Sampler[list[Request]]):
    """Batches of requests; set anew before every pass."""

    def __init__(self) -> None:
        self.set(np.zeros(0, np.int64), None, 1)

    def set(self, rows: np.ndarray, seed: int | None, size: int) -> None:
        """Rows in batches of `size`."""
        self.rows, self.seed, self.size = rows, seed, size

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.size)

    def __iter__(self) -> Iterator[list[Request]]:
        for start in range(0, len(self.rows), self.size):
            yield [(int(row), self.seed) for row in self.rows[start : start + self.size]]


class StreamSource:
    """A `Source` of a streamed data set. Each process trains on and judges its share of the pictures.

    A crop follows from (seed, epoch, row), so that neither the number of workers nor an interruption changes a bit.
    """

    def __init__(self, dataset: Streamed, settings: TrainSettings, together: Processes) -> None:
        self.dataset, self.together, self.augmenting = dataset, together, settings.augment
        size = max(1, min(settings.batch_size, len(dataset.train)) // together.world)
        steps = len(dataset.train) // (size * together.world)
        check_batch(size, steps, settings, together)
        mean, std = dataset.train.mean, dataset.train.std
        self.facts = Facts(
            dataset.name,
            (3, dataset.image_size, dataset.image_size),
            dataset.num_classes,
            size,
            steps,
            dataset.class_names,
            tuple(mean.tolist()),
            tuple(std.tolist()),
        )
        self._mean, self._std = (
            torch.from_numpy(255.0 * row).to(together.device)[:, None, None] for row in (mean, std)
        )
        self._training: tuple[DataLoader[Item | str], _Requests] | None = None

    def epoch(self, seed: int, number: int, skip: int = 0) -> Iterator[Batch]:
        """A new order and new crops in every epoch; the rest of the order, less than a batch, is left out."""
        size, steps = self.facts.batch_size, self.facts.steps
        rows = self.dataset.train.pictures.order(seed)[self.together.rank :: self.together.world][: size * steps]
        if self._training is None:
            self._training = self._loader(self.dataset.train, stays=True)
        loader, requests = self._training
        requests.set(rows[skip * size :], seed if self.augmenting else None, size)
        return self._batches(loader)

    def augment(self, batch: Batch) -> Batch:
        """The workers have done it."""
        return batch

    def samples(self, most: int) -> Iterator[Batch]:
        """Evenly spread over all files, which are sorted by class; the same ones in every process."""
        rows = spread(len(self.dataset.train), most)
        parts = math.ceil(len(rows) / _BATCH)
        return self._once(self.dataset.train, rows, None, math.ceil(len(rows) / parts))

    def draw(self, seed: int, count: int) -> Iterator[Batch]:
        """Drawn without replacement; the same ones in every process."""
        rows = np.random.default_rng(seed).permutation(len(self.dataset.train))[:count]
        return self._once(self.dataset.train, rows, seed if self.augmenting else None, _BATCH)

    def validation(self) -> Iterator[Batch]:
        """This process's share of the test pictures."""
        rows = np.arange(len(self.dataset.test))[self.together.rank :: self.together.world]
        return self._once(self.dataset.test, rows, None, _BATCH)

    def fit(self, classes: int | None) -> None:
        """Classes are those of the data set."""

    def close(self) -> None:
        """End the workers."""
        self._training = None

    def _once(self, split: StreamedSplit, rows: np.ndarray, seed: int | None, size: int) -> Iterator[Batch]:
        loader, requests = self._loader(split, stays=False)
        requests.set(rows, seed, size)
        return self._batches(loader)

    def _loader(self, split: StreamedSplit, stays: bool) -> tuple[DataLoader[Item | str], _Requests]:
        workers, requests = self.dataset.workers, _Requests()
        loader = DataLoader(
            _Decoder(split),
            batch_sampler=requests,
            num_workers=workers,
            collate_fn=_collated,
            pin_memory=self.together.device.type == "cuda",
            worker_init_fn=_begin_worker,
            persistent_workers=stays and workers > 0,
            prefetch_factor=_AHEAD if workers else None,
            generator=torch.Generator(),  # its own, which nothing depends on
        )
        return loader, requests

    def _batches(self, loader: DataLoader[Item | str]) -> Iterator[Batch]:
        for found in loader:
            if isinstance(found, str):
                raise InputError(found)
            pixels, labels = (part.to(self.together.device, non_blocking=True) for part in found)
            yield Batch(pixels.float().sub_(self._mean).div_(self._std), labels)  # in place: a third of the time


def _collated(items: list[Item | str]) -> tuple[Tensor, Tensor] | str:
    """uint8 [n, 3, H, W] and int64 [n], or the first sentence about a picture that cannot be read."""
    pixels, labels = [], []
    for item in items:
        if isinstance(item, str):
            return item
        pixels.append(torch.from_numpy(item[0]))
        labels.append(item[1])
    return torch.stack(pixels), torch.tensor(labels, dtype=torch.int64)


def _begin_worker(number: int) -> None:
    """Ctrl-C reaches workers too and is the run's affair; SIGTERM ends them, whatever the run does with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
