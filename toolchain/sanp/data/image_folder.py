"""A folder of one's own images in memory: <root>/train/<class>/*.png and <root>/test/<class>/*.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanp.data.dataset import Dataset, Split, channel_statistics
from sanp.data.folder_names import find_splits
from sanp.data.pictures import read_picture


def load_image_folder(root: Path, image_size: int = 32, flip: bool = True) -> Dataset:
    """Every image as RGB, its shorter side resized to image_size, centre cropped; uint8, all in memory.

    A photo is turned as its EXIF orientation says; 16 bits per channel are scaled to 8. Files and folders whose names
    begin with a dot are not looked at; a warning says how many. Splits and errors are those of `find_splits`; flip:
    mirrored images keep their label. Raises InputError for an unreadable image, ConfigError for a missing Pillow.
    """
    classes, found = find_splits(root)
    arrays = {}
    for name, (paths, labels) in found.items():
        images = np.empty((len(paths), 3, image_size, image_size), np.uint8)
        for row in range(len(paths)):
            path = root / paths[row]
            images[row] = read_picture(path, str(path), image_size)
        arrays[name] = images, labels
    mean, std = channel_statistics(arrays["train"][0])
    splits = {name: Split(images, labels, mean, std) for name, (images, labels) in arrays.items()}
    test = splits.get("test", splits.get("val"))
    assert test is not None
    val = splits.get("val", test)
    return Dataset("image-folder", len(classes), splits["train"], val, test, classes, flip, image_size // 8)
