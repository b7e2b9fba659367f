"""The three stages: what each trains, at which rate, and its loss."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.cost.tracker import CostTracker
from sanp.gating.attach import gated_layers
from sanp.gating.controls import set_anneal_factor
from sanp.training.calibration import apply_density
from sanp.training.config import TrainConfig
from sanp.training.controller import BudgetController
from sanp.training.distributed import Workers
from sanp.training.sparsity import effective_channels, membership, weighted_l1

NAMES = ("pretrain", "warmup", "joint")


class Stage:
    """One stage: parameter groups, learning-rate curve and loss. `total` is its number of steps."""

    name = "pretrain"

    def __init__(self, config: TrainConfig, model: nn.Module, epochs: int, steps_per_epoch: int, lr: float) -> None:
        self.config, self.epochs, self.steps, self.lr = config, epochs, steps_per_epoch, lr
        self.total = max(1, epochs * steps_per_epoch)
        model.requires_grad_(True)
        self.optimizer = torch.optim.SGD(
            self.groups(model), lr=lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True
        )

    def groups(self, model: nn.Module) -> list[dict[str, object]]:
        """Optimizer groups; "scale" multiplies the learning rate."""
        return [{"params": list(model.parameters()), "scale": 1.0, "weight_decay": self.config.weight_decay}]

    def set_rate(self, step: int) -> None:
        """Linear rise over the first 5 % of the stage, then half a cosine to zero."""
        progress = (step + 1) / self.total
        factor = min(1.0, progress / 0.05) * 0.5 * (1 + math.cos(math.pi * step / self.total))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group["scale"] * factor

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of one batch."""
        return F.cross_entropy(logits, labels)

    def before_epoch(self, epoch: int) -> None:
        """Called before each epoch."""

    def after_step(self, step: int) -> None:
        """Called after each optimizer step."""


class WarmUp(Stage):
    """Only the gates learn, from cross-entropy alone; the backbone is frozen (arXiv 1910.08906 section 3)."""

    name = "warmup"

    def groups(self, model: nn.Module) -> list[dict[str, object]]:
        """The gate parameters, without weight decay: it would pull saliencies to zero whatever they cost."""
        model.requires_grad_(False)
        gates = [parameter.requires_grad_(True) for parameter in gate_parameters(model)]
        return [{"params": gates, "scale": 1.0, "weight_decay": 0.0}]


class Joint(Stage):
    """Everything learns, against the budget (arXiv 1910.08906 eq. 9 and 10)."""

    name = "joint"

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        epochs: int,
        steps_per_epoch: int,
        lr: float,
        tracker: CostTracker,
        controller: BudgetController,
        team: Workers,
    ) -> None:
        self.tracker, self.controller, self.model, self.team = tracker, controller, model, team
        self.layers = gated_layers(model)
        shares = list(tracker.filter_macs().values())
        device = next(model.parameters()).device
        self.weight = (torch.cat(shares) / torch.cat(shares).mean()).to(device)
        members = membership([len(share) for share in shares]).to(device)
        self.members, self.layer_weight = members, self.weight @ members / members.sum(0)
        self.penalised = any(layer.gate.penalised for layer in self.layers.values())
        super().__init__(config, model, epochs, steps_per_epoch, lr)

    def groups(self, model: nn.Module) -> list[dict[str, object]]:
        """Backbone with weight decay, gates without and at their own rate."""
        gates = list(gate_parameters(model))
        own = {id(parameter) for parameter in gates}
        backbone = [parameter for parameter in model.parameters() if id(parameter) not in own]
        rows = [{"params": backbone, "scale": 1.0, "weight_decay": self.config.weight_decay}]
        gates_row = {"params": gates, "scale": self.config.gate_lr_scale, "weight_decay": 0.0}
        return [*rows, gates_row] if gates else rows

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy + lambda * cost loss; see `sanp.training.sparsity` for the two forms of the latter."""
        loss = F.cross_entropy(logits, labels)
        if not self.penalised:
            return loss
        s = F.relu(torch.cat([layer.u for layer in self.layers.values()], dim=1))
        if self.config.sparsity == "l1":
            return loss + weighted_l1(s, self.weight, self.controller.weight)
        return loss + effective_channels(s, self.members, self.layer_weight, self.controller.weight)

    def before_epoch(self, epoch: int) -> None:
        """Fade the noise; fixed-k and random gates follow the falling target by their density."""
        if self.config.anneal:
            set_anneal_factor(self.model, max(0.0, 1 - epoch / (self.config.anneal * self.epochs)))
        if not self.penalised:
            apply_density(self.model, self.tracker, self.controller.target((epoch + 1) / self.epochs))

    def after_step(self, step: int) -> None:
        """Observe the cost and set lambda."""
        cost = (self.tracker.sample_macs() / self.tracker.dense_macs).mean()
        self.controller.observe(self.team.mean(cost), (step + 1) / self.total)


def gate_parameters(model: nn.Module) -> Iterable[nn.Parameter]:
    """Parameters of the gates, none of the backbone."""
    for layer in gated_layers(model).values():
        yield from layer.gate.parameters()
