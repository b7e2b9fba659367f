"""The backbone alone, from cross-entropy."""

from __future__ import annotations

from torch import nn

from sanp.methods.stage import Group, Stage
from sanp.settings.train import TrainSettings


def pretrain(train: TrainSettings) -> Stage:
    """The first stage of every method that starts from a trained backbone."""

    def groups(network: nn.Module) -> list[Group]:
        return [Group(list(network.parameters()), 1.0, train.weight_decay)]

    return Stage("pretrain", train.pretrain_epochs, train.lr, groups, backbone=True)
