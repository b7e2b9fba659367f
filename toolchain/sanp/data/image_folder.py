"""A folder of one's own images: <root>/train/<class>/*.png and <root>/test/<class>/*.png."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sanp.data.dataset import Dataset, Split, channel_statistics
from sanp_targets.errors import ConfigError, InputError

_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp", ".gif", ".tif", ".tiff"))


def load_image_folder(root: Path, image_size: int = 32, flip: bool = True) -> Dataset:
    """Every image as RGB, its shorter side resized to image_size, centre cropped; uint8, all in memory.

    A photo is turned as its EXIF orientation says; 16 bits per channel are scaled to 8. Files and folders whose names
    begin with a dot are not looked at; a warning says how many.

    Splits are the folders train, test (or val in its place) and, if both exist, val. Classes are the sorted names of
    train's folders. flip: mirrored images keep their label.
    Raises ConfigError for missing folders or a missing Pillow, InputError for an unreadable image or an unknown class.
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
    arrays = {name: _read_split(root / name, classes, image_size) for name in sorted(names)}
    hidden = sum(any(map(_is_hidden, path.relative_to(root).parts)) for path in root.rglob("*") if path.is_file())
    if hidden:
        warnings.warn(f"{root}: {hidden} hidden files were left out", stacklevel=2)
    mean, std = channel_statistics(arrays["train"][0])
    splits = {name: Split(images, labels, mean, std) for name, (images, labels) in arrays.items()}
    test = splits.get("test", splits.get("val"))
    assert test is not None
    val = splits.get("val", test)
    return Dataset("image-folder", len(classes), splits["train"], val, test, classes, flip, image_size // 8)


def _read_split(folder: Path, classes: tuple[str, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    unknown = [name for name in _folders(folder) if name not in classes]
    if unknown:
        raise InputError(f"{folder} has the class {unknown[0]!r}, which train does not have; move or rename it")
    images: list[np.ndarray] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name).rglob("*") if _is_image(path, folder))
        if not files and folder.name == "train":
            raise InputError(f"{folder / name} holds no image ({', '.join(sorted(_SUFFIXES))}); add some or remove it")
        images += [_read_image(path, size) for path in files]
        labels += [label] * len(files)
    if not images:
        raise InputError(f"{folder} holds no image of any class of train; add some or remove the folder")
    return np.stack(images), np.array(labels, np.int64)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _folders(folder: Path) -> list[str]:
    """Names of the classes: folders that are not hidden, such as .ipynb_checkpoints."""
    return sorted(item.name for item in folder.iterdir() if item.is_dir() and not _is_hidden(item.name))


def _is_image(path: Path, folder: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not any(map(_is_hidden, path.relative_to(folder).parts))


def _eight_bits(image: Any) -> Any:
    """An image of 16 bits as one of 8: Pillow's own conversion would clip it to white."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a stated range, expected 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels have more than 16 bits, expected 8 or 16")
    return Image.fromarray(np.round(values / 257.0).astype(np.uint8))


def _read_image(path: Path, size: int) -> np.ndarray:
    """uint8 [3, size, size]."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ConfigError("data set image-folder needs Pillow, which is not installed; pip install pillow") from error
    try:
        with Image.open(path) as opened:
            image = _eight_bits(ImageOps.exif_transpose(opened)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image ({error}); replace or remove it") from error
    scale = size / min(image.size)
    wide, high = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((wide, high), Image.Resampling.BILINEAR)
    left, top = (wide - size) // 2, (high - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size))).transpose(2, 0, 1).copy()
