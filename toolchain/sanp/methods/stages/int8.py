"""The last stage of a run with `int8`: the network learns with the rounding of its int8 bundle in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from sanp.gating.attach import gate_parameters
from sanp.gating.policy import GatePolicy
from sanp.methods.base import Method
from sanp.methods.stage import Context, Group, Stage, Task
from sanp.quantising.network import fake_quantise, measure_ranges
from sanp.settings.train import TrainSettings

NAME = "int8"
_RANGE_IMAGES = 512  # that give the ranges which the stage begins with


class Rounded(Task):
    """Gates decide as in evaluation, and batch norms keep their statistics: both are part of what is rounded."""

    def before_epoch(self, epoch: int) -> None:
        """Set both to evaluation."""
        for module in self.context.network.modules():
            if isinstance(module, (GatePolicy, nn.modules.batchnorm._BatchNorm)):
                module.eval()


def int8(train: TrainSettings, method: Method) -> Stage:
    """Convolutions, norms and the head learn; gates keep their weights and decide on rounded feature maps.

    The stage begins with the network as its run would have ended: statistics measured, budget met.
    """

    def prepare(context: Context) -> nn.Module:
        if train.trained is None:
            context.recalibrate(context.network)
            if method.finish(context):
                context.recalibrate(context.network)
        fake_quantise(context.network, context.example)
        for limit in measure_ranges(context.network, context.samples(_RANGE_IMAGES)):
            limit.copy_(context.mean(limit))
        return context.network

    groups: Callable[[nn.Module], list[Group]] = partial(_groups, train)
    return Stage(NAME, train.int8_epochs, train.int8_lr, groups, Rounded, prepare=prepare)


def _groups(train: TrainSettings, network: nn.Module) -> list[Group]:
    gates = {id(parameter) for parameter in gate_parameters(network)}
    backbone = [parameter for parameter in network.parameters() if id(parameter) not in gates]
    return [Group(backbone, 1.0, train.weight_decay)]
