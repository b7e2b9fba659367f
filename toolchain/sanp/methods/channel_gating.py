"""Channel Gating (Hua et al., NeurIPS 2019): a short path for every pixel, the whole layer where it matters."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.cost.calibration import density_for, smallest_threshold
from sanp.cost.controller import Control
from sanp.cost.pixels import pixel_layers
from sanp.data.batch import Batch
from sanp.gating.attach import attach_gates
from sanp.gating.pixel_gated_conv import PixelGatedConv, obstacle
from sanp.methods.base import Method, MethodSettings
from sanp.methods.gated import settled_cost
from sanp.methods.stage import Context, Group, Length, Stage, Task
from sanp.methods.stages.joint import Observed
from sanp.methods.stages.pretrain import pretrain
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError

# Normalised outputs lie within a few units of zero: beyond this every pixel is open, or none.
_FARTHEST = 4.0


class ChannelGatingSettings(MethodSettings):
    """Options of Channel Gating."""

    parts: int = Field(4, ge=2, le=64, description="groups of input channels; the short path reads one of them")
    shuffle: bool = Field(True, description="groups are interleaved, and so mix those of the layer before")
    alpha: float = Field(2.0, gt=0, le=100, description="steepness of the gradient of a decision")
    sparse_backward: bool = Field(True, description="closed pixels send no gradient into their decision")
    joint_epochs: int = Field(60, ge=0, le=10000, description="epochs of everything, against the budget")
    joint_lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of the joint stage")
    ramp: float = Field(0.5, ge=0, le=1, description="share of the joint stage in which the target falls to the budget")
    window: int = Field(5, ge=1, le=10000, description="steps over which the measured cost is smoothed")
    threshold_weight: float = Field(
        0.01, ge=0, le=1, description="weight of the threshold loss; 1e-4 as published, for 100000 steps"
    )
    threshold_gain: float = Field(
        0.05, ge=0, le=1, description="step of the threshold target per unit of cost above its own target"
    )
    distill: float = Field(0.0, ge=0, le=1, description="share of the dense network's answers in the loss")
    calibrate: bool = Field(True, description="move all thresholds at the end so that the measured cost is the budget")


class ThresholdTarget(Observed):
    """Cross-entropy + weight * sum of (delta - T)^2 over all channels, with the dense network as an optional teacher.

    T is the threshold at which normal outputs cost the target of this epoch, plus a correction: the sum of what has
    been measured above the target. A layer keeps T in its offset and what a channel has learned beside it, so that all
    thresholds move with T at once. Thresholds that follow T by its gradient alone lag behind, and the correction then
    swings: a pilot ended 13 points below its budget.
    """

    def __init__(self, context: Context, length: Length, settings: ChannelGatingSettings) -> None:
        super().__init__(context, length, Control(context.train.budget, settings.ramp, window=settings.window))
        self.settings = settings
        self.layers = [layer for layer in pixel_layers(context.network).values() if isinstance(layer, PixelGatedConv)]
        self.correction = torch.zeros((), device=context.example.device)
        self.normal = 0.0
        if settings.distill and not context.objective.classes:
            raise ConfigError(
                f"distill is {settings.distill:g} and the labels are no classes, expected logits to learn from; set "
                "distill to 0"
            )
        self.teacher = _teacher(context) if settings.distill else None

    def before_epoch(self, epoch: int) -> None:
        """The threshold of normal outputs for the target in the middle of this epoch."""
        target = self.controller.target((epoch + 0.5) / self.length.epochs)
        self.normal = normal_threshold(density_for(self.tracker.uniform, target))
        self._move()

    def _move(self) -> None:
        for layer in self.layers:
            layer.offset.copy_(self.correction + self.normal)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """See the class."""
        loss = super().loss(outputs, batch)
        if self.teacher is not None:
            with torch.no_grad():
                soft = self.teacher(batch.images).softmax(1)
            share = self.settings.distill
            loss = (1 - share) * loss + share * F.cross_entropy(outputs, soft)
        return loss + self.settings.threshold_weight * torch.cat([layer.delta for layer in self.layers]).square().sum()

    def after_step(self, step: int) -> None:
        """Observe the cost and correct the target."""
        super().after_step(step)
        excess = self.controller.cost - self.controller.target((step + 1) / self.length.total)
        self.correction += self.settings.threshold_gain * excess
        self.correction.clamp_(-_FARTHEST, _FARTHEST)
        self._move()

    def metrics(self) -> dict[str, float]:
        """The smoothed cost, and the threshold target."""
        return {**super().metrics(), "threshold": self.normal + float(self.correction)}

    def state(self) -> dict[str, Any]:
        """The smoothed cost, and the correction."""
        return {**super().state(), "correction": float(self.correction)}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        super().restore(state)
        self.correction.fill_(state["correction"])


def normal_threshold(density: float) -> float:
    """The number that a standard normal value exceeds with this probability; at most 4 in magnitude."""
    if density >= 1:
        return -_FARTHEST
    return min(max(NormalDist().inv_cdf(1 - density), -_FARTHEST), _FARTHEST) if density > 0 else _FARTHEST


def _teacher(context: Context) -> nn.Module:
    teacher = context.backbone()
    assert teacher is not None, "the backbone stage comes first"
    return teacher.to(context.example.device).requires_grad_(False)


class ChannelGating(Method):
    """Every output pixel starts with a part of its inputs; the rest follows where that part says so."""

    gates = True
    Settings = ChannelGatingSettings

    def make_layer(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity) -> PixelGatedConv | str:
        """The layer that takes the place of a convolution and its batch norm, or why it stays as it is."""
        own = self.settings
        if isinstance(norm, nn.Identity):
            return "it has no batch norm, which the decision is made beside"
        return obstacle(conv, own.parts) or PixelGatedConv(
            conv, norm, parts=own.parts, shuffle=own.shuffle, alpha=own.alpha, sparse_backward=own.sparse_backward
        )

    def attach(self, network: nn.Module, example_input: Tensor) -> nn.Module:
        """A copy of the network with gated pixels."""
        return attach_gates(network, example_input, self.make_layer, self.name, self.settings.model_dump(mode="json"))

    def prepare(self, context: Context) -> nn.Module:
        """The network with its gates: every pixel open, the statistics of the short path as they are."""
        network = self.attach(context.network, context.example)
        for layer in pixel_layers(network).values():
            assert isinstance(layer, PixelGatedConv)
            layer.offset.fill_(-_FARTHEST)
        return network

    def floor(self, context: Context) -> float:
        """What the short paths and the layers without a gate cost."""
        network = self.attach(context.network, context.example)
        return Context(**{**vars(context), "network": network}).tracker().floor()

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, joint."""
        own = self.settings

        def groups(network: nn.Module) -> list[Group]:
            thresholds = [layer.delta for layer in pixel_layers(network).values() if isinstance(layer, PixelGatedConv)]
            chosen = {id(parameter) for parameter in thresholds}
            others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
            return [Group(others, 1.0, train.weight_decay), Group(thresholds, 1.0, 0.0)]

        def task(context: Context, length: Length) -> Task:
            return ThresholdTarget(context, length, own)

        return (
            pretrain(train),
            Stage("joint", own.joint_epochs, own.joint_lr, groups, task, prepare=self.prepare),
        )

    def finish(self, context: Context) -> bool:
        """Move all thresholds to the least offset at which the training images cost at most the budget."""
        if not self.settings.calibrate:
            return False
        layers = [layer for layer in pixel_layers(context.network).values() if isinstance(layer, PixelGatedConv)]
        tracker, budget = context.tracker(), context.train.budget

        def move(offset: float) -> None:
            for layer in layers:
                layer.offset.fill_(offset)

        def cost(offset: float) -> float:
            move(offset)
            return settled_cost(context, tracker)

        move(smallest_threshold(cost, budget, least=-2 * _FARTHEST))
        return True
