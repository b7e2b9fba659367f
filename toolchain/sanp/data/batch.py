"""A batch: what one training or evaluation step sees of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Images float32 [N, C, H, W], normalised; labels int64 [N]; modes int64 [N] where the data set has them.

    With a loss of the user's own, labels are whatever that loss takes: tensors, tuples, lists or dictionaries of them.
    """

    images: Tensor
    labels: Any
    modes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def example(images: Tensor) -> Batch:
        """A batch of these images whose labels and modes are 0: to trace a network with."""
        zeros = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return Batch(images, zeros, zeros)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        images, modes = self.images.to(device, non_blocking=True), self.modes
        labels = mapped(self.labels, lambda item: item.to(device, non_blocking=True))
        return Batch(images, labels, None if modes is None else modes.to(device))


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure of tuples, lists and dictionaries, every tensor in it changed; other values stay."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(item, change) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(item, change) for item in value)
    return value


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors of a structure, in its order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
