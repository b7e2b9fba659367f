"""LAASP: filters leave while the network trains, chosen by the loss under a pool of criteria (Ghimire et al., 2023).

After `pretrain_epochs` epochs of ordinary training the removal begins. Every layer proposes its lowest filters under
every criterion, the loss on some training images is measured without each of them, and the best one is carried out.
After every `delta` of saved cost the network recovers for `recovery` epochs at the learning rate that the schedule had
reached. When the budget is met, training goes on with the rest of the schedule. One criterion in the pool: the control.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from pydantic import Field, field_validator
from torch import Tensor

from sanp.methods.removal import RemovalMethod, RemovalSettings, everything
from sanp.methods.stage import Change, Context, Length, Stage, Task
from sanp.pruning.criteria import criteria
from sanp.pruning.greedy import LossAware, allowed_step, propose, steps_by_cost, steps_by_width, trimmed
from sanp.pruning.removal import remove
from sanp.settings.train import TrainSettings


class LaaspSettings(RemovalSettings):
    """Options of LAASP."""

    epochs: int = Field(64, ge=1, le=10000, description="epochs after the pretraining ones: removal and rest")
    criteria: tuple[str, ...] = Field(
        ("L1", "L2", "EUCL", "COS"), description="pool of criteria, such as L1,COS; a single one is the control"
    )
    cos_legacy: bool = Field(False, description="COS sums similarities, as in the published runs, not distances")
    samples: int = Field(2000, ge=1, le=10**7, description="training images that the loss is measured on")
    step: float = Field(0.01, gt=0, le=1, description="share of the dense cost that one removal saves, about")
    step_of_width: float = Field(0.0, ge=0, le=0.5, description="instead: share of the layer's filters; 0 = off")
    cap: float = Field(0.75, gt=0, le=1, description="largest share of a layer's filters that may leave")
    cap_check: Literal["after", "before"] = Field(
        "after", description="where the cap is looked at; before a step, the step may pass it, as in the published runs"
    )
    delta: float = Field(0.03, ge=0, le=1, description="saved cost after which the network recovers; 0: every removal")
    recovery: int = Field(1, ge=0, le=1000, description="epochs of one recovery")
    recovery_share: float = Field(
        0.5,
        ge=0,
        le=4,
        description="most epochs of recovery, as a share of `epochs`; then the rest leaves at once",
    )
    extra_recovery: bool = Field(False, description="recoveries lengthen the run (as published), not shorten the rest")
    reuse: bool = Field(False, description="evaluate a proposal once between two recoveries, which is cheaper")
    milestones: tuple[int, ...] = Field(
        (), description="epochs, pretraining included, at which the rate is multiplied by gamma; none: half a cosine"
    )
    gamma: float = Field(0.2, gt=0, lt=1, description="factor at a milestone")

    @field_validator("criteria", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("criteria")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(criteria(value))

    @field_validator("milestones", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    def recovery_limit(self) -> int:
        """Most epochs of all recoveries together; at least one epoch is left for the rest."""
        limit = int(self.recovery_share * self.epochs)
        return limit if self.extra_recovery else min(limit, self.epochs - 1)

    def rate(self, epoch: float, total: int) -> float:
        """The normal schedule: factor on the learning rate at an epoch of all `total` ones."""
        if self.milestones:
            return self.gamma ** sum(epoch >= milestone for milestone in self.milestones)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / max(1, total))))


class Laasp(RemovalMethod):
    """Prunes while training; the loss chooses layer and criterion."""

    Settings = LaaspSettings

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain: the first epochs of the schedule; prune: removal, recovery, and the rest of the schedule."""
        own: LaaspSettings = self.settings
        total = train.pretrain_epochs + own.epochs

        def begin(step: int, steps: int) -> float:
            rise = min(1.0, (step + 1) / steps / 0.05)
            return rise * own.rate(train.pretrain_epochs * step / steps, total)

        length = own.epochs + (own.recovery_limit() if own.extra_recovery else 0)
        groups = partial(everything, train)
        return (
            Stage("pretrain", train.pretrain_epochs, train.lr, groups, schedule=begin, backbone=True),
            Stage("prune", length, train.lr, groups, partial(Removal, self)),
        )


class Removal(Task):
    """Removal, recovery and the rest: one task, because how long the removal takes is not known before.

    State: `due` is the step before which filters leave next, `done` the one from which the rest of the schedule runs;
    `steps` and `first`, per group, are those of the dense network; `log` has a row for every removal.
    """

    def __init__(self, method: Laasp, context: Context, length: Length) -> None:
        super().__init__(context, length)
        self.method, self.own = method, method.settings
        self.due, self.done, self.now, self.recovered = 0, -1, 0, 0
        self.last, self.cost = 0.0, 1.0
        self.steps: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self.log: list[list[Any]] = []

    def recordable(self) -> bool:
        """Between removals a step does the same operations; a removal makes a new optimizer, and so a new recording."""
        return self.hooks_of(Removal)

    def before_step(self, step: int, momentum: Callable[[], dict[str, Tensor]]) -> Change | None:
        """Remove filters until a recovery is due or the budget is met."""
        self.now = step
        if self.done >= 0 or step < self.due:
            return None
        left = self._remove(momentum())
        met = self.cost <= self.context.train.budget
        if not self._recovery_is_due():
            self.done = step
            return Change(self.context.network, left)
        self.recovered, self.last = self.recovered + self.own.recovery, 1 - self.cost
        self.due = step + self.own.recovery * self.length.steps
        self.done = self.due if met else -1
        return Change(self.context.network, {})  # a recovery begins with a fresh optimizer

    def _recovery_is_due(self) -> bool:
        fits = 0 < self.own.recovery <= self.own.recovery_limit() - self.recovered
        return fits and bool(self.log) and 1 - self.cost - self.last >= self.own.delta

    def _remove(self, momentum: dict[str, Tensor]) -> dict[str, Tensor]:
        network, own, budget = self.context.network, self.own, self.context.train.budget
        groups = self.method.groups(self.context)
        cost = self.method.cost(self.context, groups)
        self.cost = cost.share()
        if not self.first:
            self.first = {name: row.width for name, row in groups.rows.items()}
            self.steps = steps_by_cost(groups, cost, own.step)
        pool, samples = criteria(own.criteria, own.cos_legacy), list(self.context.draw(own.samples))
        judge = LossAware(samples, own.reuse, self.context.mean, self.context.objective)
        gone: dict[str, int] = {}
        while self.cost > budget and not self._recovery_is_due():
            wanted = steps_by_width(groups, own.step_of_width) if own.step_of_width else self.steps
            counts = {
                name: allowed_step(row.width, self.first[name], wanted[name], own.limits(), own.cap_check == "after")
                for name, row in groups.rows.items()
            }
            candidates = propose(network, groups, pool, counts)
            assert candidates, "the floor was checked before training"
            best, loss = judge.choose(network, groups, candidates)
            best = trimmed(best, groups, cost, gone, budget, own.limits())
            momentum = remove(network, groups, {best.group: best.units}, momentum)
            groups = groups.after({best.group: best.units})
            judge.removed(best.group)
            gone[best.group] = gone.get(best.group, 0) + len(best.units)
            self.cost = cost.share(gone)
            self.log.append([best.layer, best.criterion, len(best.units), loss, self.cost])
        return momentum

    def factor(self, step: int, scheduled: float) -> float:
        """The rate of the epoch in which removal began; from `done` on, the rest of the schedule."""
        own, before = self.own, self.context.train.pretrain_epochs
        if self.done < 0 or step < self.done:
            return own.rate(before, before + own.epochs)
        whole = own.epochs * self.length.steps
        rest = whole if own.extra_recovery else max(1, self.length.total - self.done)
        return own.rate(before + own.epochs * min(1.0, (step - self.done) / rest), before + own.epochs)

    def after_step(self, step: int) -> None:
        """Count the steps."""
        self.now = step + 1

    def finished(self) -> bool:
        """Whether the rest of the schedule has been run, where recoveries lengthen the run."""
        return self.done >= 0 and self.now - self.done >= self.own.epochs * self.length.steps

    def metrics(self) -> dict[str, float]:
        """Cost, number of removals, recovery epochs so far, and how often each criterion was chosen."""
        chosen = [row[1] for row in self.log]
        counts = {f"chosen_{name.lower()}": float(chosen.count(name)) for name in self.own.criteria}
        return {"cost": self.cost, "removals": float(len(self.log)), "recovery_epochs": float(self.recovered), **counts}

    def state(self) -> dict[str, Any]:
        """Everything that the next removal depends on."""
        names = ("due", "done", "now", "recovered", "last", "cost", "steps", "first", "log")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        for name, value in state.items():
            setattr(self, name, value)
