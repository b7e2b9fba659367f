"""A batch: what one training or evaluation step sees of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Images float32 [N, C, H, W], normalised; labels int64 [N]; modes int64 [N] where the data set has them."""

    images: Tensor
    labels: Tensor
    modes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def example(images: Tensor) -> Batch:
        """A batch of these images whose labels and modes are 0: to trace a network with."""
        zeros = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return Batch(images, zeros, zeros)
