"""Data sets that stay on disk: `image-stream` (folders, ImageNet's layout) and `tar-shards`, decoded when asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sanp.data.counter_random import uniform
from sanp.data.folder_names import Names, find_splits
from sanp.data.pictures import DRAWS, read_picture
from sanp.data.shards import find_shards
from sanp_targets.errors import ConfigError

# What the weights of most public networks were trained with.
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MEASURED = 1024  # training images on which constants are measured
_MOST_WORKERS = 8


class Pictures(Protocol):
    """Encoded pictures in a fixed order."""

    def __len__(self) -> int: ...

    def open(self, row: int) -> tuple[Path | bytes, str]:
        """A picture, as a path or its bytes, and what errors call it."""
        ...

    def order(self, seed: int) -> np.ndarray:
        """All rows in a random order, int64 [N]."""
        ...


@dataclass(frozen=True, eq=False)
class StreamedSplit:
    """One part of a streamed data set. labels: int64 [N]. size: height and width of an image; see `image_stream`."""

    pictures: Pictures
    labels: np.ndarray
    size: int
    mean: np.ndarray
    std: np.ndarray
    share: float
    least: float
    flip: bool

    def __len__(self) -> int:
        return len(self.pictures)

    def pixels(self, row: int, seed: int | None) -> np.ndarray:
        """uint8 [3, size, size]: a random crop that follows from (seed, row) alone, or the centre without a seed."""
        source, where = self.pictures.open(row)
        if seed is None:
            return read_picture(source, where, self.size, share=self.share)
        draws = uniform(seed, np.array([row]), "crop", DRAWS)[0]
        found = read_picture(source, where, self.size, self.least, draws)
        return np.ascontiguousarray(found[:, :, ::-1]) if self.flip and draws[-1] < 0.5 else found

    def take(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images of these rows as evaluation sees them, float32 [n, 3, size, size], normalised; labels int64 [n]."""
        images = np.empty((len(rows), 3, self.size, self.size), np.float32)
        for place, row in enumerate(rows):
            images[place] = self.pixels(int(row), None)
        images /= 255.0
        images -= self.mean[:, None, None]
        images /= self.std[:, None, None]
        return images, self.labels[np.asarray(rows)]


@dataclass(frozen=True, eq=False)
class Streamed:
    """A named data set on disk. workers: processes that decode for a run; 0 = the run itself."""

    name: str
    num_classes: int
    train: StreamedSplit
    test: StreamedSplit
    class_names: tuple[str, ...]
    workers: int

    @property
    def image_size(self) -> int:
        """Height and width of the images in pixels."""
        return self.train.size

    @property
    def in_channels(self) -> int:
        """Colour channels of the images."""
        return 3


class FolderPictures:
    """Files of a folder."""

    def __init__(self, root: Path, names: Names) -> None:
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def open(self, row: int) -> tuple[Path | bytes, str]:
        """Its path."""
        path = self.root / self.names[row]
        return path, str(path)

    def order(self, seed: int) -> np.ndarray:
        """Any order."""
        return np.random.default_rng(seed).permutation(len(self))


def load_image_stream(
    root: Path,
    image_size: int = 32,
    flip: bool = True,
    min_area: float = 0.08,
    resize: float = 1.143,
    normalise: str = "imagenet",
    workers: int = -1,
) -> Streamed:
    """Pictures in the folders of `find_splits` (train, and test or val), read when they are needed.

    Training: a random crop of at least min_area of the picture, 3:4 to 4:3, resized to image_size, mirrored in half of
    the cases if flip. Evaluation: the shorter side resized to resize * image_size, the centre of image_size. Photos are
    turned as EXIF says, 16 bits scaled to 8, hidden files left out with a warning. normalise: "imagenet", "measured"
    (on up to 1,024 training pictures), or six numbers, three means and three deviations from 0 to 1. workers: processes
    that decode; -1 = one per processor, at most 8.
    Raises ConfigError for a knob outside its range and missing folders, InputError for a class without pictures.
    """
    classes, found = find_splits(root)
    paths, labels = found["train"]
    test_paths, test_labels = found.get("test", found.get("val", found["train"]))
    train, test = FolderPictures(root, paths), FolderPictures(root, test_paths)
    knobs = image_size, flip, min_area, resize, normalise, workers
    return _streamed("image-stream", classes, (train, labels), (test, test_labels), *knobs)


def load_tar_shards(
    root: Path,
    image_size: int = 32,
    flip: bool = True,
    min_area: float = 0.08,
    resize: float = 1.143,
    normalise: str = "imagenet",
    workers: int = -1,
) -> Streamed:
    """Pictures in tar files of the webdataset layout, <root>/train*.tar and <root>/val*.tar (or test*.tar).

    A sample is NAME.jpg (or another picture) beside NAME.cls, the number of its class as text; classes.txt in the root
    names the classes, one a line. The headers are read once, at the start; then samples are read where they lie, those
    of a few shards at a time. The knobs are those of `load_image_stream`. Raises InputError for damaged shards.
    """
    train, labels = find_shards(root, ("train",))
    test, test_labels = find_shards(root, ("test", "val", "valid"))
    classes = 1 + int(max(labels.max(), test_labels.max()))
    names = root / "classes.txt"
    lines = names.read_text(encoding="utf-8").split("\n") if names.is_file() else []
    given = tuple(line.strip() for line in lines if line.strip()) or tuple(map(str, range(classes)))
    if len(given) < classes:
        raise ConfigError(f"{names} names {len(given)} classes and labels go to {classes - 1}; add the others")
    knobs = image_size, flip, min_area, resize, normalise, workers
    return _streamed("tar-shards", given, (train, labels), (test, test_labels), *knobs)


def _streamed(
    name: str,
    classes: tuple[str, ...],
    train: tuple[Pictures, np.ndarray],
    test: tuple[Pictures, np.ndarray],
    size: int,
    flip: bool,
    least: float,
    resize: float,
    normalise: str,
    workers: int,
) -> Streamed:
    if not 0 < least <= 1 or not 1 <= resize <= 4 or not -1 <= workers <= 1024:
        raise ConfigError(
            f"{name} has min_area={least:g}, resize={resize:g} and workers={workers}, expected 0 to 1, 1 to 4 and at "
            "least 0 (or -1: one per processor); correct them"
        )
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    raw = StreamedSplit(*train, size, zeros, ones, 1 / resize, least, flip)
    mean, std = _constants(normalise, raw)
    ours, theirs = (StreamedSplit(*part, size, mean, std, 1 / resize, least, flip) for part in (train, test))
    available = min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    return Streamed(name, len(classes), ours, theirs, classes, available if workers < 0 else workers)


def _constants(normalise: str, split: StreamedSplit) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel, float32 [3], from 0 to 1."""
    if normalise == "imagenet":
        mean, std = _IMAGENET
    elif normalise == "measured":
        rows = spread(len(split), _MEASURED)
        sums = np.zeros((2, 3))
        for row in rows:
            pixels = split.pixels(int(row), None) / 255.0
            sums += pixels.mean((1, 2)), np.square(pixels).mean((1, 2))
        middle, squares = sums / len(rows)
        return middle.astype(np.float32), np.sqrt(np.maximum(squares - middle**2, 1e-6)).astype(np.float32)
    else:
        try:
            numbers = [float(part) for part in normalise.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 6 or not all(map(math.isfinite, numbers)) or min(numbers[3:]) <= 0:
            raise ConfigError(
                f"normalise is {normalise!r}, expected imagenet, measured or six numbers such as "
                "0.5,0.5,0.5,0.25,0.25,0.25; correct it"
            )
        mean, std = tuple(numbers[:3]), tuple(numbers[3:])  # type: ignore[assignment]
    return np.array(mean, np.float32), np.array(std, np.float32)


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` rows, evenly spread, int64: files are often sorted by class."""
    taken = min(count, most)
    return np.arange(taken, dtype=np.int64) * count // max(1, taken)
