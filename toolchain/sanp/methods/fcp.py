"""FCP: filters are pulled into clusters until those of a cluster are equal; one of each stays (Zhou et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from sanp.data.batch import Batch
from sanp.methods.removal import RemovalMethod, RemovalSettings, everything
from sanp.methods.stage import Change, Context, Length, Stage, Task, rise_and_cosine
from sanp.methods.stages.pretrain import pretrain
from sanp.pruning.clusters import Pull, even, k_means, merge, others
from sanp.pruning.groups import Groups
from sanp.pruning.removal import remove
from sanp.pruning.selection import uniform
from sanp.settings.train import TrainSettings


class FcpSettings(RemovalSettings):
    """Options of FCP."""

    cluster_epochs: int = Field(32, ge=1, le=10000, description="epochs in which filters are pulled together")
    finetune_epochs: int = Field(32, ge=1, le=10000, description="epochs after the removal")
    lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of both")
    pull: float = Field(1.0, ge=0, le=100, description="weight of the distances from the cluster means at its end")
    assignment: Literal["even", "k-means"] = Field("even", description="clusters by index, or of similar filters")
    merge: bool = Field(True, description="add what the next layer reads from the others of a cluster to the survivor")


class Fcp(RemovalMethod):
    """As many clusters per layer as the budget leaves filters; the same share of every layer."""

    Settings = FcpSettings

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, cluster: both parts in one stage, because the clusters have to outlive the first one."""
        own: FcpSettings = self.settings
        epochs = own.cluster_epochs + own.finetune_epochs
        return pretrain(train), Stage("cluster", epochs, own.lr, partial(everything, train), partial(Cluster, self))


class Cluster(Task):
    """Pulls until the step `until`, removes before it, and learns the labels alone from then on."""

    def __init__(self, method: Fcp, context: Context, length: Length) -> None:
        super().__init__(context, length)
        self.method, self.own = method, method.settings
        self.until = self.own.cluster_epochs * length.steps
        self.clusters: dict[str, Tensor] | None = None
        self.pull: Pull | None = None
        self.weight = torch.zeros((), device=context.example.device)  # of the distances, set before every step

    def before_epoch(self, epoch: int) -> None:
        """Assign the clusters before the first epoch; find the tensors that belong to them."""
        if epoch * self.length.steps >= self.until:
            self.pull = None
            return
        if self.pull is not None:
            return
        groups = self.method.groups(self.context)
        if self.clusters is None:
            self.clusters = self._assigned(groups)
        self.pull = Pull(self.context.network, groups, self.clusters)

    def _assigned(self, groups: Groups) -> dict[str, Tensor]:
        cost = self.method.cost(self.context, groups)
        leave = uniform(groups, cost, self.own.limits(), self.context.train.budget)
        counts = {name: groups.rows[name].width - count for name, count in leave.items()}
        if self.own.assignment == "even":
            return {name: even(groups.rows[name].width, count) for name, count in counts.items()}
        return {name: k_means(self.context.network, groups.rows[name], count) for name, count in counts.items()}

    def before_step(self, step: int, momentum: Callable[[], dict[str, Tensor]]) -> Change | None:
        """At `until`: what a cluster's survivor does not do itself, it inherits; the others leave."""
        self.weight.fill_(self.own.pull * min(1.0, 2 * (step + 1) / self.until))
        if step != self.until or self.clusters is None:
            return None
        groups = self.method.groups(self.context)
        if self.own.merge:
            merge(self.context.network, groups, self.clusters)
        remove(self.context.network, groups, others(self.clusters))
        self.clusters = None
        return Change(self.context.network, {})

    def factor(self, step: int, scheduled: float) -> float:
        """Each part rises to the peak and falls to zero."""
        if step < self.until:
            return rise_and_cosine(step, self.until)
        return rise_and_cosine(step - self.until, max(1, self.length.total - self.until))

    def recordable(self) -> bool:
        """The weight changes in place; where the pull ends, the optimizer is a new one."""
        return self.hooks_of(Cluster)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The loss, and the distances with a weight that grows from zero."""
        loss = super().loss(outputs, batch)
        if self.pull is None or not self.pull.rows:
            return loss
        return loss + self.weight * self.pull.distance()

    def metrics(self) -> dict[str, float]:
        """The relative radius of the clusters while there are any."""
        return {} if self.pull is None or not self.pull.rows else {"radius": self.pull.radius()}

    def state(self) -> dict[str, Any]:
        """The clusters, which were assigned before the first step."""
        clusters = self.clusters
        return {"clusters": None if clusters is None else {name: row.tolist() for name, row in clusters.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        found = state["clusters"]
        self.clusters = None if found is None else {name: torch.tensor(row) for name, row in found.items()}
