"""Backbone and gates together, against the budget (arXiv 1910.08906 eq. 9 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.cost.calibration import density_for
from sanp.cost.channel_plan import plan_channels
from sanp.cost.controller import BudgetController, Control
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.gating.attach import gate_parameters, gated_layers
from sanp.gating.controls import HasCount, set_anneal_factor, set_density
from sanp.gating.sparsity import effective_channels, membership, weighted_l1
from sanp.methods.stage import Context, Group, Length, Stage, Task
from sanp.settings.train import TrainSettings


def joint(
    train: TrainSettings, epochs: int, lr: float, gate_lr_scale: float, task: Callable[[Context, Length], Task]
) -> Stage:
    """Everything learns: the backbone with weight decay, the gates without and at their own rate."""

    def groups(network: nn.Module) -> list[Group]:
        gates = gate_parameters(network)
        own = {id(parameter) for parameter in gates}
        backbone = [parameter for parameter in network.parameters() if id(parameter) not in own]
        rows = [Group(backbone, 1.0, train.weight_decay)]
        return [*rows, Group(gates, gate_lr_scale, 0.0)] if gates else rows

    return Stage("joint", epochs, lr, groups, task)


class Observed(Task):
    """Measures the cost of every batch."""

    def __init__(self, context: Context, length: Length, control: Control) -> None:
        super().__init__(context, length)
        self.tracker = context.tracker()
        if context.train.budget_latency is not None:
            control = replace(control, start=max(control.goal, self.tracker.uniform(1.0)))
        self.controller = BudgetController(control, context.example.device)
        self.cost: Tensor | None = None  # of the last batch

    def recordable(self) -> bool:
        """Lambda and the cost are tensors that change in place."""
        return self.hooks_of(Observed)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The loss of the labels. The cost is measured here, where a replayed step measures it too."""
        with torch.no_grad():
            self.cost = self.tracker.shares().mean()
        return super().loss(outputs, batch)

    def after_step(self, step: int) -> None:
        """Set lambda."""
        cost = self.tracker.shares().mean() if self.cost is None else self.cost
        self.controller.observe(self.context.mean(cost), (step + 1) / self.length.total)

    def metrics(self) -> dict[str, float]:
        """The smoothed cost."""
        return {"cost": float(self.controller.cost)}

    def state(self) -> dict[str, Any]:
        """Smoothed cost and lambda."""
        return self.controller.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.controller.restore(state)


class FollowDensity(Observed):
    """The target falls, and the gates open what is expected to cost it."""

    def before_epoch(self, epoch: int) -> None:
        """Open what costs the target of this epoch."""
        open_for(self.context.network, self.tracker, self.controller.target((epoch + 1) / self.length.epochs))


def open_for(network: nn.Module, tracker: CostTracker, target: float) -> None:
    """Set every gate to the density, or number of channels, that is expected to cost `target` of the dense network."""
    if any(isinstance(layer.gate, HasCount) for layer in gated_layers(network).values()):
        plan = plan_channels(tracker, target)
        set_density(network, plan.density, plan.channels)
    else:
        set_density(network, density_for(tracker.uniform, target))


class Penalised(Observed):
    """The loss of the labels + lambda * cost loss; noise and soft gates fade over the first `anneal` of the stage."""

    def __init__(self, context: Context, length: Length, control: Control, sparsity: str, anneal: float) -> None:
        super().__init__(context, length, control)
        self.sparsity, self.anneal = sparsity, anneal
        self.layers = gated_layers(context.network)
        shares = list(self.tracker.filter_shares().values())
        device = context.example.device
        self.weight = (torch.cat(shares) / torch.cat(shares).mean()).to(device)
        members = membership([len(share) for share in shares]).to(device)
        self.members, self.layer_weight = members, self.weight @ members / members.sum(0)

    def recordable(self) -> bool:
        """The noise fades between epochs only."""
        return self.hooks_of(Penalised)

    def before_epoch(self, epoch: int) -> None:
        """Fade the noise."""
        if self.anneal:
            set_anneal_factor(self.context.network, max(0.0, 1 - epoch / (self.anneal * self.length.epochs)))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """See `sanp.gating.sparsity` for the two forms of the cost loss."""
        loss = super().loss(outputs, batch)
        s = F.relu(torch.cat([layer.u for layer in self.layers.values()], dim=1))
        if self.sparsity == "l1":
            return loss + weighted_l1(s, self.weight, self.controller.weight)
        return loss + effective_channels(s, self.members, self.layer_weight, self.controller.weight)

    def metrics(self) -> dict[str, float]:
        """The smoothed cost, and lambda."""
        return {**super().metrics(), "weight": float(self.controller.weight)}
