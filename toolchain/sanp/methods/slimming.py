"""Network Slimming: batch-norm scales are pushed to zero, channels with small ones leave (Liu et al., ICCV 2017)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sanp.data.batch import Batch
from sanp.methods.removal import RemovalMethod, RemovalSettings, everything
from sanp.methods.stage import Context, Length, Stage, Task
from sanp.methods.stages.finetune import finetune
from sanp.methods.stages.pretrain import pretrain
from sanp.pruning.criteria import batch_norm_scales
from sanp.pruning.groups import Groups
from sanp.pruning.removal import remove
from sanp.pruning.selection import by_threshold
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError


class SlimmingSettings(RemovalSettings):
    """Options of Network Slimming."""

    cap: float = Field(0.99, gt=0, le=1, description="largest share of a layer's channels that may leave; one stays")
    coupled: bool = Field(
        False, description="remove channels of residual streams too; no, as published: never the output of a block"
    )
    sparsity: float = Field(
        1e-3, ge=0, le=1, description="weight of the sum of all scales; published: 1e-4 for 125,000 steps"
    )
    sparse_epochs: int = Field(24, ge=0, le=10000, description="epochs with that penalty")
    sparse_lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of these epochs")
    finetune_epochs: int = Field(40, ge=0, le=10000, description="epochs after the removal")
    finetune_lr: float = Field(0.05, gt=0, le=10, description="learning rate after the removal")
    finetune_schedule: Literal["cosine", "constant"] = Field("cosine", description="of that rate")


class Slimming(RemovalMethod):
    """One threshold on the scales of all layers decides; the budget decides on the threshold."""

    Settings = SlimmingSettings

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, sparse, finetune."""
        own: SlimmingSettings = self.settings
        task = partial(SparseScales, weight=own.sparsity)
        return (
            pretrain(train),
            Stage("sparse", own.sparse_epochs, own.sparse_lr, partial(everything, train), task),
            finetune(train, own.finetune_epochs, own.finetune_lr, own.finetune_schedule, self.prune),
        )

    def groups(self, context: Context) -> Groups:
        """Only channels with a scale; ConfigError if there are none."""
        found = super().groups(context)
        scored = batch_norm_scales(context.network, found)
        rows = {name: row for name, row in found.rows.items() if name in scored}
        if not rows:
            raise ConfigError(
                f"no removable channel of {type(context.network).__name__} has a batch norm with a scale, expected one "
                "behind its convolutions; choose another method"
            )
        return replace(found, rows=rows)

    def prune(self, context: Context) -> nn.Module:
        """The network without the channels whose scale is not above the threshold that meets the budget."""
        groups = self.groups(context)
        scores = batch_norm_scales(context.network, groups)
        cost, limits = self.cost(context, groups), self.settings.limits()
        remove(context.network, groups, by_threshold(scores, groups, cost, limits, context.train.budget))
        return context.network


class SparseScales(Task):
    """Cross-entropy + weight * sum of all absolute scales: its gradient is the published weight * sign(scale)."""

    def __init__(self, context: Context, length: Length, weight: float) -> None:
        super().__init__(context, length)
        self.weight = weight
        norms = (module for module in context.network.modules() if isinstance(module, _BatchNorm))
        self.scales: list[Tensor] = [norm.weight for norm in norms if norm.affine]

    def recordable(self) -> bool:
        """The weight of the penalty is constant."""
        return self.hooks_of(SparseScales)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The loss with the penalty."""
        return super().loss(outputs, batch) + self.weight * torch.cat(self.scales).abs().sum()

    def metrics(self) -> dict[str, float]:
        """Mean scale, and the share of scales below a hundredth of it."""
        scales = torch.cat([scale.detach() for scale in self.scales]).abs()
        return {"scale": float(scales.mean()), "small_scales": float((scales < scales.mean() / 100).float().mean())}
