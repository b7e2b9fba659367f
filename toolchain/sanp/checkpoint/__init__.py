"""Trained networks on disk: `checkpoint.save(path, network)` and `checkpoint.load(path)`."""

from sanp.checkpoint.network import Checkpoint, load, save

__all__ = ["Checkpoint", "load", "save"]
