"""scikit-learn's bundled 8x8 digits, upsampled: 1,797 real images without a download."""

from __future__ import annotations

import numpy as np

from sanp.data.dataset import Dataset, Split, channel_statistics
from sanp_targets.errors import ConfigError

_TRAIN, _SEED = 1200, 1906


def load_digits(image_size: int = 32) -> Dataset:
    """1,200 training and 597 test images, stratified with a fixed seed; float32, three equal channels.

    Too small to spare a validation split, and nothing is selected on it: `val` is the test split.
    Raises ConfigError if scikit-learn is missing or the size is not 16 or 32.
    """
    if image_size not in (16, 32):
        raise ConfigError(f"digits has 8x8 images, upsampled to 16 or 32 pixels, got {image_size}; choose one of them")
    try:
        from sklearn.datasets import load_digits as bundled
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ConfigError(
            "data set digits comes with scikit-learn, which is not installed; pip install 'sanp-toolchain[train]'"
        ) from error
    small, labels = bundled(return_X_y=True)
    images = upsample(small.reshape(-1, 8, 8).astype(np.float32) / 16.0, image_size)
    order = train_test_split(np.arange(len(labels)), train_size=_TRAIN, stratify=labels, random_state=_SEED)
    raw = np.repeat(images[:, None], 3, axis=1)
    mean, std = channel_statistics(raw[order[0]])
    train, test = (Split(np.ascontiguousarray(raw[rows]), labels[rows].astype(np.int64), mean, std) for rows in order)
    names = tuple(str(digit) for digit in range(10))
    return Dataset("digits", 10, train, test, test, names, flip=False, shift=image_size // 16)


def upsample(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear, half-pixel centres, edges clamped: float32 [N, h, h] -> [N, size, size]."""
    old = images.shape[-1]
    position = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, old - 1)
    weight = (position - low).astype(np.float32)
    matrix = np.zeros((size, old), np.float32)
    matrix[np.arange(size), low] += 1 - weight
    matrix[np.arange(size), high] += weight
    return (matrix @ images @ matrix.T).astype(np.float32)
