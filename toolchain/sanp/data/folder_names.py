"""The classes and files of a folder of pictures, in ImageNet's layout: <root>/<split>/<class>/.../*.jpg."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sanp.data.pictures import SUFFIXES
from sanp_targets.errors import ConfigError, InputError


class Names:
    """Many paths in one piece of memory: a list of millions of strings is copied by every process that loads."""

    def __init__(self, names: Iterator[str]) -> None:
        parts = [os.fsencode(name) for name in names]
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._text = np.frombuffer(b"".join(parts), np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> str:
        start = int(self._ends[row - 1]) if row else 0
        return os.fsdecode(self._text[start : int(self._ends[row])].tobytes())


def find_splits(root: Path) -> tuple[tuple[str, ...], dict[str, tuple[Names, np.ndarray]]]:
    """Classes, and for each split the paths of its pictures relative to the root, with their labels int64 [N].

    Splits are the folders train, test (or val in its place) and, if both exist, val; classes the sorted names of
    train's folders. Names that begin with a dot are not looked at; a warning says how many files. Raises ConfigError
    for missing folders, InputError for a class without pictures or one that train does not have.
    """
    names = {name for name in ("train", "val", "test") if (root / name).is_dir()}
    if "train" not in names or len(names) < 2:
        raise ConfigError(
            f"{root} has the folders {', '.join(sorted(names)) or 'none of them'}, expected train and test (or val) "
            "with one folder per class; arrange the images so"
        )
    classes = tuple(_folders(root / "train"))
    if len(classes) < 2:
        raise ConfigError(f"{root / 'train'} has {len(classes)} class folders, expected at least 2; add them")
    hidden = [0]
    found = {name: _split(root, name, classes, hidden) for name in sorted(names)}
    hidden[0] += sum(1 for path in root.iterdir() if path.name.startswith(".") and path.is_file())
    if hidden[0]:
        warnings.warn(f"{root}: {hidden[0]} hidden files were left out", stacklevel=3)
    return classes, found


def _split(root: Path, split: str, classes: tuple[str, ...], hidden: list[int]) -> tuple[Names, np.ndarray]:
    folder = root / split
    unknown = [name for name in _folders(folder) if name not in classes]
    if unknown:
        raise InputError(f"{folder} has the class {unknown[0]!r}, which train does not have; move or rename it")
    hidden[0] += sum(_count(item) for item in folder.iterdir() if item.name.startswith("."))
    counts: list[int] = []  # pictures of each class

    def paths() -> Iterator[str]:
        for name in classes:
            files = sorted(_pictures(folder / name, hidden)) if (folder / name).is_dir() else []
            if not files and split == "train":
                raise InputError(
                    f"{folder / name} holds no image ({', '.join(sorted(SUFFIXES))}); add some or remove it"
                )
            counts.append(len(files))
            yield from (os.path.relpath(file, root) for file in files)

    made = Names(paths())
    if not len(made):
        raise InputError(f"{folder} holds no image of any class of train; add some or remove the folder")
    return made, np.repeat(np.arange(len(classes), dtype=np.int64), counts)


def _pictures(folder: Path, hidden: list[int]) -> Iterator[str]:
    """Paths below a class, in any order; hidden: where what is left out is counted."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                hidden[0] += _count(Path(entry.path))
            elif entry.is_dir():
                yield from _pictures(Path(entry.path), hidden)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                yield entry.path


def _count(path: Path) -> int:
    return sum(1 for item in path.rglob("*") if item.is_file()) if path.is_dir() else 1


def _folders(folder: Path) -> list[str]:
    """Names of the classes: folders that are not hidden, such as .ipynb_checkpoints."""
    return sorted(item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
