"""What a data set is here: three splits of images and labels, and the constants that normalise them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sanp_targets.errors import InputError


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one part of a data set.

    raw: uint8 (0 to 255) or float32 (0 to 1) [N, 3, H, W]. labels: int64 [N]. mean, std: float32 [3] on 0..1.
    extra: further int64 or float32 arrays [N], such as the mode and the difficulty of a MixCues image.
    """

    raw: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.raw.ndim != 4 or len(self.raw) != len(self.labels) or self.labels.ndim != 1:
            raise InputError(
                f"images have shape {self.raw.shape} and labels {self.labels.shape}, expected [N, 3, H, W] and [N]; "
                "check the data set's files"
            )

    def __len__(self) -> int:
        return len(self.raw)

    @cached_property
    def images(self) -> np.ndarray:
        """Normalised images, float32 [N, 3, H, W]; computed once and kept."""
        pixels = self.raw.astype(np.float32)
        if self.raw.dtype == np.uint8:
            pixels /= 255.0
        pixels -= self.mean[:, None, None]
        pixels /= self.std[:, None, None]
        return pixels

    def take(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normalised images float32 [n, 3, H, W] and labels int64 [n] of these rows."""
        return self.images[rows], self.labels[rows]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set. flip: a mirrored image keeps its label. shift: pixels a random crop may move it."""

    name: str
    num_classes: int
    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]
    flip: bool = False
    shift: int = 0

    @property
    def image_size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.train.raw.shape[2])

    @property
    def in_channels(self) -> int:
        """Colour channels of the images."""
        return int(self.train.raw.shape[1])


def channel_statistics(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel of a training split, float32 [3], on the 0..1 scale."""
    scale = 255.0 if raw.dtype == np.uint8 else 1.0
    mean = raw.mean(axis=(0, 2, 3), dtype=np.float64) / scale
    std = raw.std(axis=(0, 2, 3), dtype=np.float64) / scale
    return mean.astype(np.float32), np.maximum(std, 1e-3).astype(np.float32)
