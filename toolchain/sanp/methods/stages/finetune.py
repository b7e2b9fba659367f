"""The network after a removal, from cross-entropy; its first act is the removal itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

from sanp.methods.removal import everything
from sanp.methods.stage import Context, Stage, rise_and_cosine
from sanp.settings.train import TrainSettings

Schedule = Literal["cosine", "constant"]


def finetune(
    train: TrainSettings, epochs: int, lr: float, schedule: Schedule, prune: Callable[[Context], nn.Module]
) -> Stage:
    """The stage that begins with `prune`. schedule: half a cosine to zero, or a constant rate, as L1 published it."""
    shape = rise_and_cosine if schedule == "cosine" else _constant
    return Stage("finetune", epochs, lr, partial(everything, train), schedule=shape, prepare=prune)


def _constant(step: int, total: int) -> float:
    return 1.0
