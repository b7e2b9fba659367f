"""The control that never was wide: the backbone with fewer channels everywhere, trained from random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from sanp import models
from sanp.methods.base import Method
from sanp.methods.stage import Context, Stage
from sanp.methods.stages.pretrain import pretrain
from sanp.pruning.check import channel_groups
from sanp.pruning.removal import remove
from sanp.pruning.selection import Limits, given_back
from sanp.pruning.width_cost import WidthCost
from sanp.settings.train import TrainSettings, is_custom, is_import_path
from sanp_targets.errors import ConfigError

_SEARCHED = 24  # halvings: widths closer than this are the same network


class Narrow(Method):
    """The widest backbone whose cost is within the budget, to single channels of single layers."""

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, of the narrow network: there is no wide one before."""
        return (replace(pretrain(train), prepare=self.prepare, backbone=False),)

    def prepare(self, context: Context) -> nn.Module:
        """The network with the largest width factor that the budget allows, and then one channel more where it fits.

        A factor moves several layers at once, by as much as four points of a small network. So the layers that lost
        most to rounding get one channel more, each if the budget allows it. The channels of a network that cannot be
        removed one by one, such as those of shortcuts of type A, stay those of the factor.
        """
        budget = context.train.budget
        factor = self._largest(lambda width: self._cost(context, width) <= budget, context.train.width)
        if factor == 0:
            raise ConfigError(
                f"budget is {budget:g} of the dense cost, expected more than {self.floor(context):.4f}, "
                "which the backbone with one channel in every layer costs; raise the budget"
            )
        with torch.random.fork_rng(devices=[]):
            least = _widths(_built(context, factor))
            backbone = _widths(_built(context, context.train.width))
            # The narrowest network that has a channel more than `least` in every layer which the backbone is wider in.
            wanted = {name: min(count + 1, backbone[name]) for name, count in least.items()}
            short = self._largest(lambda width: not _covers(context, width, wanted), context.train.width)
            above = min(context.train.width, short + context.train.width * 2.0 ** (1 - _SEARCHED))
        network = _built(context, above)
        if not _take_single_channels(context, network, least, factor / context.train.width, backbone):
            network = _built(context, factor)
        return network.to(context.example.device)

    @staticmethod
    def _largest(holds: Callable[[float], bool], most: float) -> float:
        """The largest width factor below `most` for which it holds, 0 if there is none."""
        low, high = 0.0, most
        for _ in range(_SEARCHED):
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low

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


def _widths(network: nn.Module) -> dict[str, int]:
    return {name: module.out_channels for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def _covers(context: Context, width: float, wanted: Mapping[str, int]) -> bool:
    with torch.random.fork_rng(devices=[]):
        found = _widths(_built(context, width))
    return all(found[name] >= count for name, count in wanted.items())


def _take_single_channels(
    context: Context, network: nn.Module, least: Mapping[str, int], ratio: float, backbone: Mapping[str, int]
) -> bool:
    """Narrow a network to the widths `least`, and single channels more that the budget allows; False if it cannot be.

    ratio: share of the backbone's channels that the factor stands for, before rounding.
    """
    example, budget = context.example.cpu(), context.train.budget
    try:
        groups = channel_groups(network, example)
    except ConfigError:
        return False
    rows, cost = groups.rows, WidthCost(network, example, groups, context.counter, context.full)
    order = sorted(rows, key=lambda name: least[name] - ratio * backbone[name])
    left = given_back(groups, cost, Limits(), budget, {name: least[name] for name in rows}, order)
    gone = {name: torch.arange(left[name], row.width) for name, row in rows.items()}
    if cost.share({name: len(units) for name, units in gone.items()}) > budget:
        return False
    remove(network, groups, gone)
    return all(least[name] <= count <= least[name] + 1 for name, count in _widths(network).items())
