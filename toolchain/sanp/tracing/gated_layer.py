"""What a gated layer is to the rooms that only look at a network from outside."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class GatedLayer(Protocol):
    """A module that is traced as one: a convolution whose output channels are switched per sample.

    conv: the convolution. gate_hidden: hidden width of the saliency module that inference pays for, 0 if none.
    """

    conv: nn.Conv2d

    @property
    def gate_hidden(self) -> int:
        """Hidden width of the saliency module, 0 if the gate has none."""
        ...
