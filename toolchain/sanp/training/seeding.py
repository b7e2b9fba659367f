"""Seeds from positions, and code of others run under such a seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_for(*parts: object) -> int:
    """A 32-bit seed from a list of values, stable across processes and Python versions."""
    return zlib.crc32("/".join(str(part) for part in parts).encode())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, NumPy and Python begin at a seed; those of the last two are put back."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
