"""Trained networks on disk: `checkpoint.save(path, network)` and `checkpoint.load(path)`."""

from sanp.checkpoint.network import Checkpoint, backbone_of, load, save

__all__ = ["Checkpoint", "backbone_of", "load", "save"]
