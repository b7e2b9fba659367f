"""The control that never was wide: the backbone with fewer channels everywhere, trained from random weights."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from sanp import models
from sanp.methods.base import Method
from sanp.methods.stage import Context, Stage
from sanp.methods.stages.pretrain import pretrain
from sanp.settings.train import TrainSettings, is_custom, is_import_path
from sanp_targets.errors import ConfigError

_SEARCHED = 24  # halvings: widths closer than this are the same network


class Narrow(Method):
    """The widest backbone whose cost is within the budget."""

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, of the narrow network: there is no wide one before."""
        return (replace(pretrain(train), prepare=self.prepare, backbone=False),)

    def prepare(self, context: Context) -> nn.Module:
        """The network with the largest width factor that the budget allows."""
        low, high = 0.0, context.train.width
        for _ in range(_SEARCHED):
            middle = (low + high) / 2
            low, high = (middle, high) if self._cost(context, middle) <= context.train.budget else (low, middle)
        if low == 0:
            raise ConfigError(
                f"budget is {context.train.budget:g} of the dense cost, expected more than {self.floor(context):.4f}, "
                "which the backbone with one channel in every layer costs; raise the budget"
            )
        return _built(context, low).to(context.example.device)

    def floor(self, context: Context) -> float:
        """What the narrowest backbone costs."""
        if is_custom(context.train.model) or is_import_path(context.train.model):
            raise ConfigError(
                f"method narrow was chosen for {context.train.backbone}, expected a built-in backbone, whose width it "
                "knows how to change; choose another method"
            )
        return self._cost(context, 1e-6)

    def _cost(self, context: Context, width: float) -> float:
        with torch.random.fork_rng(devices=[]):
            network = _built(context, width)
        tracker = replace(context, network=network, example=context.example.cpu()).tracker()
        return float(tracker.shares().mean())


def _built(context: Context, width: float) -> nn.Module:
    """The backbone of the run with another width factor; its last linear or convolutional layer tells the classes."""
    train, example = context.train, context.example
    with torch.no_grad():
        classes = int(context.network.eval()(example).shape[1])  # the networks of `sanp.models` all answer with logits
    return models.build(train.model, classes, width, example.shape[1], train.image_size)
