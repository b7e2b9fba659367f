"""`TrainingData`: training and validation data of the user's own, as iterables of batches (images, labels)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sanp_targets.errors import ConfigError

Epochs = Iterable[Any] | Callable[[int], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a network is trained and judged on.

    train, validation: batches (images, labels), images float [N, C, H, W] and normalised, labels int64 [N] or whatever
    the loss takes. Either an iterable that begins anew whenever it is iterated (a DataLoader, a list), or a callable
    that gets the number of the epoch (of the whole run, from 0) and returns the batches of that epoch.
    calibration: training images as evaluation sees them, without augmentation: batch-norm statistics and thresholds
    are measured on them. By default the batches of `train`, in epoch 0.
    steps: batches of a training epoch; needed where `train` has no length. class_names: in the order of the labels.
    mean, std: what the images were normalised with, for whoever reads the checkpoint; nothing is computed with them.
    """

    train: Epochs
    validation: Epochs
    calibration: Epochs | None = None
    steps: int | None = None
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("train", "validation", "calibration"):
            check_epochs(name, getattr(self, name))
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps is {self.steps}, expected at least 1 batch per epoch; correct it")

    def epoch_steps(self) -> int:
        """Batches of a training epoch; ConfigError where nobody says how many."""
        if self.steps is not None:
            return self.steps
        try:
            return len(self.train)  # type: ignore[arg-type]
        except TypeError as error:
            raise ConfigError(
                f"train is a {type(self.train).__name__} without a length, expected one, or steps: the schedule needs "
                "the batches of an epoch; pass TrainingData(..., steps=number)"
            ) from error


def check_epochs(name: str, given: Any) -> None:
    """ConfigError for data that cannot be iterated, or only once."""
    if given is None and name == "calibration":
        return
    if isinstance(given, Iterator):
        raise ConfigError(
            f"{name} is a {type(given).__name__}, which can be iterated once, expected data for every epoch; pass a "
            "list, a DataLoader, or a callable that returns the batches of an epoch"
        )
    if not callable(given) and not hasattr(given, "__iter__") and not hasattr(given, "__getitem__"):
        raise ConfigError(f"{name} is a {type(given).__name__}, expected an iterable of batches; pass a DataLoader")
