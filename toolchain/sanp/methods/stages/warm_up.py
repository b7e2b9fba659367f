"""Only the gates learn, from cross-entropy alone; the backbone is frozen (arXiv 1910.08906 section 3)."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from sanp.gating.attach import gate_parameters
from sanp.methods.stage import Context, Group, Stage


def warm_up(epochs: int, lr: float, attach: Callable[[Context], nn.Module]) -> Stage:
    """The stage that begins with `attach`. Gates have no weight decay: it would pull saliencies to zero."""

    def groups(network: nn.Module) -> list[Group]:
        return [Group(gate_parameters(network), 1.0, 0.0)]

    return Stage("warmup", epochs, lr, groups, prepare=attach)
