"""Tar files in the layout of the webdataset library: where each sample lies, read from the headers once."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from sanp.data.pictures import SUFFIXES
from sanp_targets.errors import ConfigError, InputError

_MIXED = 16  # shards whose samples are shuffled together: the rest of the disk can rest meanwhile
_LABEL = "cls"


class ShardPictures:
    """Pictures inside tar files. shard, start, size: int64 [N], where the bytes of each lie."""

    def __init__(self, paths: list[Path], shard: np.ndarray, start: np.ndarray, size: np.ndarray) -> None:
        self.paths, self.shard, self.start, self.size = paths, shard, start, size

    def __len__(self) -> int:
        return len(self.shard)

    def open(self, row: int) -> tuple[Path | bytes, str]:
        """Its bytes; InputError if the file has become shorter or is gone."""
        path, start, size = self.paths[int(self.shard[row])], int(self.start[row]), int(self.size[row])
        where = f"the picture at byte {start} of {path}"
        try:
            with path.open("rb") as file:
                file.seek(start)
                content = file.read(size)
        except OSError as error:
            raise InputError(f"{where} cannot be read ({error.strerror}); restore the file") from error
        if len(content) < size:
            raise InputError(f"{where} is cut off, expected {size} bytes; restore the file")
        return content, where

    def order(self, seed: int) -> np.ndarray:
        """Shards in a random order, the samples of 16 neighbours in it mixed."""
        rng = np.random.default_rng(seed)
        place = np.empty(len(self.paths), np.int64)
        place[rng.permutation(len(self.paths))] = np.arange(len(self.paths))
        return np.lexsort((rng.random(len(self)), place[self.shard] // _MIXED))


def find_shards(root: Path, prefixes: tuple[str, ...]) -> tuple[ShardPictures, np.ndarray]:
    """The samples of <root>/PREFIX*.tar in the order of names, for the first prefix with files; labels int64 [N].

    Raises ConfigError if there is no such file, InputError for damaged ones and for a picture without a class.
    """
    for prefix in prefixes:
        paths = sorted(path for path in root.glob(f"{prefix}*.tar") if path.is_file())
        if paths:
            break
    else:
        raise ConfigError(f"{root} has no {' or '.join(f'{name}*.tar' for name in prefixes)}; pass the shards' folder")
    rows: list[tuple[int, int, int]] = []
    labels: list[int] = []
    for number, path in enumerate(paths):
        try:
            _read_headers(path, number, rows, labels)
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"{path} is no whole tar file ({error}); write or copy it again") from error
    if not rows:
        raise InputError(f"{paths[0]} and its like hold no picture; expected NAME.jpg beside NAME.{_LABEL}")
    columns = np.array(rows, np.int64).T
    return ShardPictures(paths, *(np.ascontiguousarray(column) for column in columns)), np.array(labels, np.int64)


def _read_headers(path: Path, number: int, rows: list[tuple[int, int, int]], labels: list[int]) -> None:
    pictures: dict[str, tuple[int, int]] = {}
    classes: dict[str, int] = {}
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            name = member.name.rsplit("/", 1)[-1]
            if not member.isfile() or name.startswith("."):
                continue
            folder = member.name[: len(member.name) - len(name)]
            stem, _, suffix = name.partition(".")  # as webdataset does: all behind the first dot
            if f".{suffix.lower()}" in SUFFIXES:
                pictures[folder + stem] = (member.offset_data, member.size)
            elif suffix == _LABEL:
                content = archive.extractfile(member)
                text = content.read() if content is not None else b""
                classes[folder + stem] = _number(text, member.name, path)
            archive.members = []  # type: ignore[attr-defined]  # tarfile remembers every header otherwise
    for key, (start, size) in pictures.items():
        if key not in classes:
            raise InputError(f"{path} has the picture {key} without {key}.{_LABEL}, expected its class; write both")
        rows.append((number, start, size))
        labels.append(classes[key])


def _number(text: bytes, name: str, path: Path) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise InputError(
            f"{name} in {path} is {text[:20]!r}, expected the number of a class; write it again"
        ) from error
    if value < 0:
        raise InputError(f"{name} in {path} is {value}, expected the number of a class from 0; write it again")
    return value
