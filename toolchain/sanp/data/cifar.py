"""CIFAR-10 and CIFAR-100 from a local folder, in the binary or the python layout; never downloaded."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sanp.data.dataset import Dataset, Split, channel_statistics
from sanp_targets.errors import ConfigError, InputError

_PIXELS = 3 * 32 * 32
_NUMPY_2 = int(np.__version__.partition(".")[0]) >= 2


@dataclass(frozen=True)
class Layout:
    """Files of one distribution. label_bytes: bytes before the pixels of a binary record, the last is the label."""

    folder: str
    train: tuple[str, ...]
    test: str
    label_bytes: int
    label_key: str
    classes: int
    records: dict[str, int]  # images per file, checked with `verify`
    md5: dict[str, str]  # of the python files as distributed, checked with `verify`


_BATCHES = tuple(f"data_batch_{index}" for index in range(1, 6))
_PYTHON = {
    "cifar10": Layout(
        "cifar-10-batches-py", _BATCHES, "test_batch", 0, "labels", 10, {},
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    "cifar100": Layout(
        "cifar-100-python", ("train",), "test", 0, "fine_labels", 100, {},
        {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    ),
}  # fmt: skip
_BINARY = {
    "cifar10": Layout(
        "cifar-10-batches-bin", tuple(f"{name}.bin" for name in _BATCHES), "test_batch.bin", 1, "", 10,
        dict.fromkeys([*(f"{name}.bin" for name in _BATCHES), "test_batch.bin"], 10000), {},
    ),
    "cifar100": Layout(
        "cifar-100-binary", ("train.bin",), "test.bin", 2, "", 100, {"train.bin": 50000, "test.bin": 10000}, {},
    ),
}  # fmt: skip


def load_cifar10(root: Path, image_size: int = 32, val_size: int = 5000, verify: bool = True) -> Dataset:
    """CIFAR-10 in root, or in root/cifar-10-batches-py or -bin; uint8 images. See `_load`."""
    return _load("cifar10", root, image_size, val_size, verify)


def load_cifar100(root: Path, image_size: int = 32, val_size: int = 5000, verify: bool = True) -> Dataset:
    """CIFAR-100 with its fine labels in root, or in root/cifar-100-python or -binary; uint8 images. See `_load`."""
    return _load("cifar100", root, image_size, val_size, verify)


def _load(name: str, root: Path, image_size: int, val_size: int, verify: bool) -> Dataset:
    """val_size images, chosen with a fixed seed, leave the training split; 0 makes `val` the test split.

    verify: require the sizes (binary) or MD5 sums (python) of the published files.
    Raises ConfigError for a missing folder or another image size, InputError for a damaged file.
    """
    if image_size != 32:
        raise ConfigError(f"{name} has 32x32 images, got image_size {image_size}; set it to 32")
    folder, layout = _find(name, root)
    read = _read_binary if layout.label_bytes else _read_pickle
    parts = [read(folder / file, layout, verify) for file in layout.train]
    raw, labels = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    test_raw, test_labels = read(folder / layout.test, layout, verify)
    if not 0 <= val_size < len(raw):
        raise ConfigError(f"val_size is {val_size}, expected 0 to {len(raw) - 1}; correct it")
    order = np.random.Generator(np.random.PCG64(1906)).permutation(len(raw))
    held, kept = np.sort(order[:val_size]), np.sort(order[val_size:])
    mean, std = channel_statistics(raw[kept])
    test = Split(test_raw, test_labels, mean, std)
    val = Split(raw[held], labels[held], mean, std) if val_size else test
    names = tuple(str(label) for label in range(layout.classes))
    return Dataset(name, layout.classes, Split(raw[kept], labels[kept], mean, std), val, test, names, True, 4)


def _find(name: str, root: Path) -> tuple[Path, Layout]:
    for layout in (_BINARY[name], _PYTHON[name]):
        for folder in (root / layout.folder, root):
            if (folder / layout.test).is_file() and all((folder / file).is_file() for file in layout.train):
                return folder, layout
    raise ConfigError(
        f"{root} has no complete {name}, expected the folder {_BINARY[name].folder} or {_PYTHON[name].folder} with all "
        "its files; download and unpack the data set there"
    )


def _read_binary(path: Path, layout: Layout, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of records label byte(s) + 3,072 pixels."""
    data = np.fromfile(path, np.uint8)
    record = layout.label_bytes + _PIXELS
    wanted = layout.records[path.name]
    if len(data) == 0 or len(data) % record or (verify and len(data) != wanted * record):
        raise InputError(
            f"{path} has {len(data)} bytes, expected {wanted} records of {record} bytes; download it again"
        )
    rows = data.reshape(-1, record)
    labels = rows[:, layout.label_bytes - 1].astype(np.int64)
    return _checked(path, rows[:, layout.label_bytes :].reshape(-1, 3, 32, 32).copy(), labels, layout)


def _read_pickle(path: Path, layout: Layout, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same from a dictionary with b"data" uint8 [N, 3072] and a list of labels."""
    data = path.read_bytes()
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if verify and digest != layout.md5[path.name]:
        raise InputError(
            f"{path} has MD5 {digest}, the published file has {layout.md5[path.name]}; download it again, or set "
            "verify to false for a data set of your own in this layout"
        )
    with path.open("rb") as file:
        content = _plain_pickle(path, file)
    try:
        pixels, labels = content[b"data"], np.asarray(content[layout.label_key.encode()], np.int64)
        images = np.ascontiguousarray(pixels, np.uint8).reshape(-1, 3, 32, 32)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} has no pixels of 3,072 bytes under b'data' or no {layout.label_key}; download it again"
        ) from error
    return _checked(path, images, labels, layout)


def _checked(path: Path, images: np.ndarray, labels: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    if labels.shape != (len(images),) or (len(labels) and not 0 <= labels.min() <= labels.max() < layout.classes):
        raise InputError(
            f"{path} has {len(images)} images and labels of shape {labels.shape} up to {labels.max(initial=0)}, "
            f"expected one label below {layout.classes} per image; download it again"
        )
    return images, labels


class _Restricted(pickle.Unpickler):
    """Builds dictionaries, lists, numbers, bytes and NumPy arrays; any other name in the file is refused."""

    _ALLOWED = frozenset(
        (module, name)
        for package in ("numpy.core", "numpy._core")
        for module, name in ((f"{package}.multiarray", "_reconstruct"), (f"{package}.numeric", "_frombuffer"))
    ) | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        # The published files name numpy.core; NumPy 2 keeps that alias, but warns.
        return super().find_class(module.replace("numpy.core.", "numpy._core.") if _NUMPY_2 else module, name)


def _plain_pickle(path: Path, file: BinaryIO) -> dict[Any, Any]:
    try:
        content = _Restricted(file, encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise almost anything
        raise InputError(
            f"{path} is not a plain CIFAR pickle ({error}), expected arrays and lists only; download it again"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dictionary; download it again")
    return content
