"""Batches from arrays on the training device: order and augmentation follow from (seed, stage, epoch, step) alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from sanp.data import Dataset, Split
from sanp.data.batch import Batch
from sanp.data.streamed import spread


class Batches:
    """One split on a device, normalised on the fly.

    Every step draws from its own seed, so that a resumed run continues with the same batches without a saved state.
    """

    def __init__(self, split: Split, device: torch.device, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.raw = torch.from_numpy(split.raw).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.modes = torch.from_numpy(split.extra["mode"]).to(device) if "mode" in split.extra else None
        self.device, self.rank, self.world = device, rank, world
        self.batch_size = max(1, min(batch_size, len(split)) // world)
        unit = 255.0 if split.raw.dtype.name == "uint8" else 1.0
        self._mean = torch.from_numpy(split.mean).to(device)[:, None, None] * unit
        self._std = torch.from_numpy(split.std).to(device)[:, None, None] * unit

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def steps(self) -> int:
        """Full batches per epoch and process; the rest of an epoch's order is dropped."""
        return len(self) // (self.batch_size * self.world)

    def batch(self, rows: Tensor) -> Batch:
        """Images of these rows, normalised, with their labels and modes."""
        images = (self.raw[rows].float() - self._mean) / self._std
        return Batch(images, self.labels[rows], None if self.modes is None else self.modes[rows])

    def epoch(self, seed: int, skip: int = 0) -> Iterator[Batch]:
        """The training batches in a shuffled order, from batch `skip` on; this process's share."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)[self.rank :: self.world].to(self.device)
        for step in range(skip, self.steps):
            yield self.batch(order[step * self.batch_size : (step + 1) * self.batch_size])

    def drawn(self, seed: int, count: int, batch_size: int = 500) -> Iterator[Batch]:
        """At most `count` images, drawn without replacement; those of a smaller count come first."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:count].to(self.device)
        for rows in order.split(batch_size):
            yield self.batch(rows)

    def even(self, batch_size: int, most: int) -> Iterator[Batch]:
        """At most `most` images, evenly spread over file order, in batches of near-equal size up to `batch_size`.

        Spread, because files may be sorted by class. Batch norm in training mode needs near-equal sizes: a last batch
        of one or two images would be normalised by itself.
        """
        rows = torch.from_numpy(spread(len(self), most)).to(self.device)
        for part in rows.tensor_split(math.ceil(len(rows) / batch_size)):
            yield self.batch(part)

    def sequential(self, batch_size: int, most: int | None = None) -> Iterator[Batch]:
        """The first `most` images, all of them by default, in file order."""
        count = len(self) if most is None else min(len(self), most)
        for start in range(0, count, batch_size):
            yield self.batch(torch.arange(start, min(start + batch_size, count), device=self.device))


def augmented(images: Tensor, dataset: Dataset) -> Tensor:
    """Random shift of up to dataset.shift pixels (zero filled) and, if dataset.flip, mirroring; per sample.

    Uses the global generator of the tensor's device. [n, C, H, W] -> [n, C, H, W].
    """
    n, _, height, width = images.shape
    device, shift = images.device, dataset.shift
    columns = torch.arange(width, device=device).expand(n, width)
    rows = torch.arange(height, device=device).expand(n, height)
    if shift:
        images = F.pad(images, (shift,) * 4)
        columns = columns + torch.randint(0, 2 * shift + 1, (n, 1), device=device)
        rows = rows + torch.randint(0, 2 * shift + 1, (n, 1), device=device)
    if dataset.flip:
        mirrored = torch.rand(n, 1, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if not shift and not dataset.flip:
        return images
    sample = torch.arange(n, device=device)[:, None, None]
    return images.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
