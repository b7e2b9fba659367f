"""A source of arrays: data sets in memory, on the training device as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from sanp.data import Dataset
from sanp.data.batch import Batch
from sanp.settings.train import TrainSettings
from sanp.training.batches import Batches, augmented
from sanp.training.processes import Processes
from sanp.training.seeding import seed_for
from sanp.training.source import Facts
from sanp_targets.errors import ConfigError

_BATCH = 256  # images at a time where nothing is trained


class ArraySource:
    """A `Source` of a data set in memory; every process judges all test images."""

    def __init__(self, dataset: Dataset, settings: TrainSettings, together: Processes) -> None:
        self.dataset, self.augmenting = dataset, settings.augment
        self.train = Batches(dataset.train, together.device, settings.batch_size, together.rank, together.world)
        self.test = Batches(dataset.test, together.device, settings.batch_size)
        check_batch(self.train.batch_size, self.train.steps, settings, together)
        self.facts = Facts(
            dataset.name,
            (dataset.in_channels, dataset.train.raw.shape[2], dataset.train.raw.shape[3]),
            dataset.num_classes,
            self.train.batch_size,
            self.train.steps,
            dataset.class_names,
            tuple(dataset.train.mean.tolist()),
            tuple(dataset.train.std.tolist()),
        )

    def epoch(self, seed: int, number: int, skip: int = 0) -> Iterator[Batch]:
        """See `Source`."""
        return self.train.epoch(seed, skip)

    def augment(self, batch: Batch) -> Batch:
        """Shifted and mirrored, as the data set allows."""
        return replace(batch, images=augmented(batch.images, self.dataset)) if self.augmenting else batch

    def samples(self, most: int) -> Iterator[Batch]:
        """In file order."""
        return self.train.even(_BATCH, most)

    def draw(self, seed: int, count: int) -> Iterator[Batch]:
        """Drawn without replacement; those of a smaller count come first."""
        for number, batch in enumerate(self.train.drawn(seed, count)):
            with torch.random.fork_rng():
                torch.manual_seed(seed_for(seed, number))
                yield self.augment(batch)

    def validation(self) -> Iterator[Batch]:
        """All test images, in file order."""
        return self.test.sequential(_BATCH)

    def fit(self, classes: int | None) -> None:
        """Classes are those of the data set."""

    def close(self) -> None:
        """Nothing to let go of."""


def check_batch(size: int, steps: int, settings: TrainSettings, together: Processes) -> None:
    """ConfigError for a batch that is too small for batch norm, or larger than the data set."""
    if not steps or size < 2:
        raise ConfigError(
            f"batch_size {settings.batch_size} over {together.world} processes leaves {size} "
            "samples per step, batch norm needs at least 2; raise the batch size"
        )
