"""The control without pruning: the backbone alone, trained for all epochs."""

from __future__ import annotations

from typing import ClassVar

from sanp.methods.base import Method
from sanp.methods.stage import Stage
from sanp.methods.stages.pretrain import pretrain
from sanp.settings.train import TrainSettings


class Dense(Method):
    """Trains the backbone and leaves it whole; a budget means nothing to it."""

    budgeted: ClassVar[bool] = False

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain."""
        return (pretrain(train),)
