"""Data sets by name; all of them are arrays in memory, none is ever downloaded."""

from __future__ import annotations

from sanp.data.dataset import Dataset, Split
from sanp.data.registry import NAMES, load

__all__ = ["NAMES", "Dataset", "Split", "load"]
