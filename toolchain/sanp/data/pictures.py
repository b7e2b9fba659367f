"""One picture from a file or bytes to pixels: upright, 8 bits, RGB, cropped at random or in the centre."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from sanp_targets.errors import ConfigError, InputError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp", ".gif", ".tif", ".tiff"))
DRAWS = 23  # random numbers of one random crop
_TRIES = 10
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112
Box = tuple[float, float, float, float]


def centre_crop(image_size: tuple[int, int], share: float) -> Box:
    """The middle of a picture of (width, height): a square with this share of the shorter side; edges from 0 to 1."""
    width, height = image_size
    side = share * min(width, height)
    across, down = side / width, side / height
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2


def random_crop(image_size: tuple[int, int], draws: np.ndarray, least: float) -> Box:
    """A part of a picture of (width, height), as Inception was trained with; edges from 0 to 1.

    Its area is `least` to 1 of the whole, its sides are 3:4 to 4:3. draws: float [DRAWS], uniform from 0 to 1.
    """
    width, height = image_size
    for attempt in range(_TRIES):
        area = width * height * (least + (1 - least) * draws[2 * attempt])
        ratio = math.exp((2 * draws[2 * attempt + 1] - 1) * math.log(4 / 3))
        across, down = math.sqrt(area * ratio) / width, math.sqrt(area / ratio) / height
        if across <= 1 and down <= 1:
            left, top = draws[-3] * (1 - across), draws[-2] * (1 - down)
            return left, top, left + across, top + down
    return centre_crop(image_size, 1.0)


def read_picture(
    source: Path | bytes, where: str, size: int, least: float = 1.0, draws: np.ndarray | None = None, share: float = 1.0
) -> np.ndarray:
    """Pixels uint8 [3, size, size] of a picture that is turned as its EXIF orientation says; 16 bits are scaled to 8.

    draws: for a random crop of at least `least` of the area; without them the centre, `share` of the shorter side.
    where: what errors call the picture. Raises InputError if it cannot be read, ConfigError without Pillow.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ConfigError("pictures are read with Pillow, which is not installed; pip install pillow") from error
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            upright = image.size if image.getexif().get(_ORIENTATION) not in _TURNED else image.size[::-1]
            box = centre_crop(upright, share) if draws is None else random_crop(upright, draws, least)
            if image.format == "JPEG":  # the decoder can leave out what the crop will not show
                wanted = size / (box[2] - box[0]), size / (box[3] - box[1])
                across, down = wanted if upright == image.size else wanted[::-1]
                image.draft("RGB", (math.ceil(across), math.ceil(down)))
            ImageOps.exif_transpose(image, in_place=True)
            pixels = _eight_bits(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{where} cannot be read as an image ({error}); replace or remove it") from error
    edges = tuple(edge * side for edge, side in zip(box, (*pixels.size, *pixels.size)))
    resized = pixels.resize((size, size), Image.Resampling.BILINEAR, box=edges)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


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
