"""Data sets by name, in memory or on disk; none is ever downloaded."""

from __future__ import annotations

from sanp.data.dataset import Dataset, Split
from sanp.data.registry import NAMES, load
from sanp.data.streamed import Streamed, StreamedSplit

__all__ = ["NAMES", "Dataset", "Split", "Streamed", "StreamedSplit", "load"]
