"""A method that only tests know: it removes the weaker half of one layer in the middle of a stage."""

from __future__ import annotations

import torch
from pydantic import Field

from sanp.methods.base import Method, MethodSettings
from sanp.methods.stage import Change, Stage, Task
from sanp.methods.stages.pretrain import pretrain
from sanp.pruning.surgery import Keep, narrow

CHAIN = ("conv3.conv", "conv3.norm", "conv4.conv")  # written by the first, read by the last


def l1(network, layer):
    """An `Importance`: the sum of a filter's absolute weights."""
    return network.get_submodule(layer).weight.detach().abs().sum((1, 2, 3))


def upper_half(scores):
    """A `Selection`: the better half of each layer."""
    return {layer: score.topk(len(score) // 2).indices.sort().values for layer, score in scores.items()}


class NarrowingSettings(MethodSettings):
    """Options of the test method."""

    epochs: int = Field(4, description="most epochs of the stage")
    first: int = Field(5, description="step before which channels are removed")
    second: int = Field(10, description="and another one")
    lr: float = Field(0.02, description="learning rate")


class NarrowTask(Task):
    """Removes channels before given steps, and stops once it has done so twice."""

    def __init__(self, context, length, steps):
        super().__init__(context, length)
        self.steps, self.removals, self.tracker = steps, 0, context.tracker()

    def before_step(self, step, momentum):
        if step not in self.steps:
            return None
        network, (conv, norm, reader) = self.context.network, CHAIN
        left = upper_half({conv: l1(network, conv)})[conv]
        self.removals += 1
        changes = {conv: Keep(left), norm: Keep(left), reader: Keep(inputs=left)}
        return Change(network, narrow(network, changes, momentum()))

    def finished(self):
        return self.removals == len(self.steps)

    def metrics(self):
        return {"cost": float(self.tracker.shares().mean()), "noise": float(torch.rand(()))}

    def state(self):
        return {"removals": self.removals}

    def restore(self, state):
        self.removals = state["removals"]


class Narrowing(Method):
    """Pretrain, then narrow."""

    Settings = NarrowingSettings

    def stages(self, train):
        own = self.settings
        first = pretrain(train)
        return first, Stage(
            "narrow", own.epochs, own.lr, first.groups, lambda c, n: NarrowTask(c, n, (own.first, own.second))
        )
