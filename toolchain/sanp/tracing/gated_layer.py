"""What a gated layer is to the rooms that only look at a network from outside."""

from __future__ import annotations

from torch import nn


class GatedLayer(nn.Module):
    """A module that is traced as one: a convolution whose output channels are switched per sample.

    conv: the convolution. A base class and no protocol: since Python 3.12 `isinstance` of a protocol does not see the
    submodules of a module.
    """

    conv: nn.Conv2d

    @property
    def gate_hidden(self) -> int:
        """Hidden width of the saliency module that inference pays for, 0 if the gate has none."""
        raise NotImplementedError

    @property
    def gate_direct(self) -> bool:
        """Whether the saliency module is one fully connected layer, without a hidden one."""
        return False
