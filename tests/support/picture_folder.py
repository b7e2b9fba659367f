"""Folders of pictures as people have them, written by tests."""

from __future__ import annotations

import numpy as np
from PIL import Image


def bars(root, train=200, test=58, size=(40, 30), seed=0):
    """Upper half bright or lower half: two classes in <root>/train and <root>/test, of `train` + `test` pictures.

    As people have them: a photo that is stored on its side and says so in EXIF, a picture of 16 bits, and what
    notebooks leave behind.
    """
    rng = np.random.default_rng(seed)
    wide, high = size
    for split, count in (("train", train), ("test", test)):
        for number in range(count):
            name = ("upper", "lower")[number % 2]
            pixels = rng.integers(20, 60, (high, wide, 3)).astype(np.uint8)
            half = slice(0, high // 2) if name == "upper" else slice(high // 2, high)
            pixels[half] = rng.integers(170, 230)
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{number:05}.{('png', 'jpg')[number % 2]}"
            if number == 6 and split == "train":  # a PNG of 16 bits, gray
                Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(path)
            elif number == 7:  # a photo on its side
                exif = Image.Exif()
                exif[0x0112] = 6
                Image.fromarray(np.rot90(pixels)).save(path, quality=95, exif=exif)
            else:
                Image.fromarray(pixels).save(path)
    left = root / "train" / ".ipynb_checkpoints"
    left.mkdir()
    Image.new("RGB", size).save(left / "00000-checkpoint.png")
    return root
