"""L1: filters with the least sum of absolute weights leave at once, then training goes on (Li et al., ICLR 2017)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from torch import nn

from sanp.methods.removal import RemovalMethod, RemovalSettings
from sanp.methods.stage import Context, Stage
from sanp.methods.stages.finetune import finetune
from sanp.methods.stages.pretrain import pretrain
from sanp.pruning.criteria import criteria, group_scores
from sanp.pruning.groups import Groups
from sanp.pruning.removal import remove
from sanp.pruning.selection import lowest, uniform
from sanp.pruning.width_cost import WidthCost
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError


class L1Settings(RemovalSettings):
    """Options of L1."""

    coupled: bool = Field(
        False, description="remove channels of residual streams too; no, as published: first layers of blocks only"
    )
    criterion: Literal["L1", "L2", "EUCL", "COS", "RANDOM"] = Field("L1", description="what ranks the filters")
    widths: tuple[int, ...] = Field(
        (), description="filters that stay, one number per layer that may lose some; none: the same share everywhere"
    )
    finetune_epochs: int = Field(64, ge=0, le=10000, description="epochs after the removal")
    finetune_lr: float = Field(0.05, gt=0, le=10, description="learning rate after the removal")
    finetune_schedule: Literal["cosine", "constant"] = Field("cosine", description="of that rate; published: constant")

    @field_validator("widths", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value


class L1(RemovalMethod):
    """One removal after pretraining, by the weights alone."""

    Settings = L1Settings

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, finetune."""
        own: L1Settings = self.settings
        after = finetune(train, own.finetune_epochs, own.finetune_lr, own.finetune_schedule, self.prune)
        return pretrain(train), after

    def floor(self, context: Context) -> float:
        """As for all removals; given widths have to fit the network and the budget."""
        groups = self.groups(context)
        cost = self.cost(context, groups)
        if self.settings.widths:
            share, budget = cost.share(self._given(groups)), context.train.budget
            if share > budget:
                raise ConfigError(
                    f"the widths cost {share:.4f} of the dense network, expected at most the budget of {budget:g}; "
                    "lower some of them or raise the budget"
                )
            return 0.0
        return super().floor(context)

    def prune(self, context: Context) -> nn.Module:
        """The network without the filters that the widths, or the budget, do not leave it."""
        groups = self.groups(context)
        counts = self._counts(context, groups, self.cost(context, groups))
        scores = group_scores(context.network, groups, criteria([self.settings.criterion])[self.settings.criterion])
        removed = {name: lowest(scores[name], count) for name, count in counts.items()}
        remove(context.network, groups, removed)
        return context.network

    def _counts(self, context: Context, groups: Groups, cost: WidthCost) -> dict[str, int]:
        if self.settings.widths:
            return self._given(groups)
        return uniform(groups, cost, self.settings.limits(), context.train.budget)

    def _given(self, groups: Groups) -> dict[str, int]:
        """How many units of each group leave by the widths; ConfigError for those of another network."""
        given, rows = self.settings.widths, groups.rows
        widths = [row.width for row in rows.values()]
        if len(given) != len(rows) or any(not 1 <= left <= width for left, width in zip(given, widths)):
            raise ConfigError(
                f"the widths are {list(given)}, expected {len(rows)} numbers from 1 up to the widths {widths} of "
                f"{', '.join(rows)}; correct them"
            )
        return {name: row.width - left for (name, row), left in zip(rows.items(), given) if left < row.width}
