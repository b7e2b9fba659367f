"""A source of the user's own iterables: every batch is checked, and fetched under a seed of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanp.data.batch import Batch
from sanp.data.own import Epochs, TrainingData
from sanp.settings.train import CUSTOM
from sanp.training.processes import Processes
from sanp.training.seeding import seed_for, seeded
from sanp.training.source import Facts
from sanp_targets.errors import ConfigError, InputError


class LoaderSource:
    """A `Source` of `TrainingData`.

    Before an epoch begins, and before each of its batches is fetched, the global generators of torch, NumPy and Python
    get a seed of that position, as does the generator of a DataLoader and of its sampler; a sampler with `set_epoch`
    is told the epoch. So the order and all that is drawn here or in workers started for this epoch are the same in a
    resumed run. What a loader remembers elsewhere is its own: persistent workers go on with their random state.
    """

    def __init__(self, given: TrainingData, together: Processes, classes: bool) -> None:
        self.given, self.together = given, together
        self._classes, self._width = classes, 0
        steps = given.epoch_steps()
        counts = together.gathered(steps)
        if len(set(counts)) > 1:
            raise ConfigError(
                f"train has {', '.join(map(str, counts))} batches in the {len(counts)} processes, expected as many in "
                "each; use a DistributedSampler, or pass steps"
            )
        first = next(self._batches("train", given.train, 0, 0, None), None)
        if first is None:
            raise InputError("train is empty, expected at least one batch (images, labels); check the data")
        if next(self._batches("validation", given.validation, 0, 0, first), None) is None:
            raise InputError("validation is empty, expected at least one batch (images, labels); check the data")
        self._first = first
        _, channels, height, width = first.images.shape
        self.facts = Facts(
            CUSTOM,
            (channels, height, width),
            len(given.class_names) or None,
            len(first),
            steps,
            given.class_names,
            given.mean,
            given.std,
        )

    def fit(self, classes: int | None) -> None:
        """Labels are checked to be below the number of logits from now on."""
        if classes is not None:
            self._width = classes
            self.facts = replace(self.facts, classes=classes)
            self._checked_labels("train", self._first.labels, len(self._first))

    def epoch(self, seed: int, number: int, skip: int = 0) -> Iterator[Batch]:
        """What was given, up to the steps of an epoch; batches before `skip` are fetched and left out."""
        found = 0
        for batch in self._batches("train", self.given.train, seed, number, self._first):
            found += 1
            if len(batch) < 2:
                raise InputError(
                    f"batch {found} of train has one image, expected at least 2: batch norm needs them; pass "
                    "drop_last=True to the DataLoader, or a larger batch_size"
                )
            if found > skip:
                yield batch
            if found == self.facts.steps:
                return
        raise InputError(
            f"train yielded {found} batches in epoch {number + 1} of the run, expected {self.facts.steps}; pass data "
            "that begin anew when they are iterated again, such as a DataLoader, or a callable that returns the "
            "batches of an epoch"
        )

    def augment(self, batch: Batch) -> Batch:
        """Images come as the step shall see them."""
        return batch

    def samples(self, most: int) -> Iterator[Batch]:
        """Of `calibration`, else of the training batches of epoch 0; whole batches."""
        name = "train" if self.given.calibration is None else "calibration"
        return self._some(name, 0, most)

    def draw(self, seed: int, count: int) -> Iterator[Batch]:
        """Whole training batches in another order, if that is random."""
        return self._some("train", seed, count)

    def validation(self) -> Iterator[Batch]:
        """All of it."""
        found = 0
        for batch in self._batches("validation", self.given.validation, 0, 0, self._first):
            found += 1
            yield batch
        if not found:
            raise InputError("validation yielded no batch this time, expected the same ones again; pass a DataLoader")

    def close(self) -> None:
        """The loaders are the user's."""

    def _some(self, name: str, seed: int, most: int) -> Iterator[Batch]:
        left = most
        for batch in self._batches(name, getattr(self.given, name), seed, 0, self._first):
            yield batch
            left -= len(batch)
            if left <= 0:
                return
        if left == most:
            raise InputError(f"{name} yielded no batch this time, expected the same ones again; pass a DataLoader")

    def _batches(self, name: str, given: Epochs, seed: int, number: int, first: Batch | None) -> Iterator[Batch]:
        """The batches of an epoch, checked, on the device. first: one whose images the others must be like."""
        _seed_generators(given, seed, number)
        with seeded(seed):
            iterator = iter(_of_epoch(name, given, number))
        step, end = 0, object()
        while True:
            with seeded(seed_for(seed, step, self.together.rank)):
                found = next(iterator, end)
            if found is end:
                return
            step += 1
            yield self._batch(name, step, found, first).to(self.together.device)

    def _batch(self, name: str, step: int, found: Any, first: Batch | None) -> Batch:
        where = f"batch {step} of {name}"
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            shown = f"{len(found)} values" if isinstance(found, (tuple, list)) else f"a {type(found).__name__}"
            raise InputError(f"{where} is {shown}, expected the pair (images, labels); yield those two")
        images, labels = (_as_tensor(item) for item in found)
        if not isinstance(images, Tensor):
            raise InputError(
                f"the images of {where} are a {type(images).__name__}, expected a tensor [N, C, H, W]; stack them"
            )
        if images.dim() != 4 or not len(images):
            raise InputError(
                f"the images of {where} have shape {tuple(images.shape)}, expected [N, C, H, W] with N of at least 1; "
                "batch the samples, for example with a DataLoader"
            )
        if not images.is_floating_point():
            raise InputError(
                f"the images of {where} are {_kind(images)}, expected floating point, normalised as the network takes "
                "them; convert them"
            )
        if first is not None and images.shape[1:] != first.images.shape[1:]:
            raise InputError(
                f"the images of {where} have shape {tuple(images.shape)}, expected (N, "
                f"{', '.join(map(str, first.images.shape[1:]))}) as in the first training batch; resize them"
            )
        if self._classes:
            labels = self._checked_labels(name, labels, len(images))
        return Batch(images.float(), labels)

    def _checked_labels(self, name: str, labels: Any, count: int) -> Any:
        if not self._classes:
            return labels
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (count,):
            shown = (
                f"{_kind(labels)} {tuple(labels.shape)}" if isinstance(labels, Tensor) else f"a {type(labels).__name__}"
            )
            raise InputError(
                f"the labels of {name} are {shown}, expected classes, int64 ({count},); for other labels pass loss="
            )
        if (
            self._width
            and labels.device.type == "cpu"
            and not 0 <= int(labels.min()) <= int(labels.max()) < self._width
        ):
            raise InputError(
                f"the labels of {name} go from {int(labels.min())} to {int(labels.max())}, expected 0 to "
                f"{self._width - 1}: the network has {self._width} logits; correct the labels or the network"
            )
        return labels.long()


def _of_epoch(name: str, given: Epochs, number: int) -> Iterable[Any]:
    if hasattr(given, "__iter__") or hasattr(given, "__getitem__"):
        return given
    made = given(number)
    if not hasattr(made, "__iter__"):
        raise ConfigError(f"{name} returned a {type(made).__name__}, expected an iterable of batches; return one")
    return made


def _seed_generators(given: Epochs, seed: int, number: int) -> None:
    """Generators and samplers that a DataLoader was given; those that it makes itself come from the global one."""
    batches = getattr(given, "batch_sampler", None)
    owners: list[Any] = [given, getattr(given, "sampler", None), batches, getattr(batches, "sampler", None)]
    for owner in owners:
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
        if callable(getattr(owner, "set_epoch", None)):
            owner.set_epoch(number)


def _as_tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) and value.dtype != object else value


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
