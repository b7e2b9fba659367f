"""The greedy, loss-aware choice: which filters of which layer cost least loss, under several criteria (LAASP)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sanp.data.batch import Batch
from sanp.data.objective import Objective
from sanp.gating.forward import forward
from sanp.models.widths import scaled
from sanp.pruning.groups import Groups
from sanp.pruning.interfaces import Importance
from sanp.pruning.removal import masked
from sanp.pruning.selection import Limits
from sanp.pruning.suffix import Suffix
from sanp.pruning.width_cost import WidthCost
from sanp.tracing.trace import evaluation


@dataclass(frozen=True, eq=False)
class Candidate:
    """Units that could leave next: those of the lowest-scored filters of a layer under a criterion, lowest first."""

    layer: str
    group: str
    criterion: str
    units: Tensor

    @property
    def key(self) -> tuple[str, tuple[int, ...]]:
        """What leaves; candidates of different criteria or layers with the same key are the same removal."""
        return self.group, tuple(self.units.sort().values.tolist())


def steps_by_cost(groups: Groups, cost: WidthCost, share: float) -> dict[str, int]:
    """Units of each group that save about this share of the cost, at least 1; on the network as it is now."""
    now = cost.share()
    return {name: max(1, round(share * now / max(1e-12, now - cost.share({name: 1})))) for name in groups.rows}


def steps_by_width(groups: Groups, share: float) -> dict[str, int]:
    """A share of the units that each group has now, rounded half up, at least 1."""
    return {name: scaled(group.width, share) for name, group in groups.rows.items()}


def allowed_step(width: int, first: int, wanted: int, limits: Limits, hard: bool) -> int:
    """How many of `width` units may leave at once, of a group that had `first` in the beginning; 0 = none.

    hard: the step is clipped so that the cap holds afterwards. Otherwise the cap is only looked at before the step,
    which may then pass it, as in the runs that LAASP published; one unit stays in any case.
    """
    if hard:
        least = limits.least(first)
    elif first - width >= limits.cap * first:
        return 0
    else:
        least = limits.allowed(first, 1)
    return max(0, width - max(least, (width - wanted) // limits.multiple * limits.multiple))


def propose(
    network: nn.Module, groups: Groups, criteria: Mapping[str, Importance], counts: Mapping[str, int]
) -> list[Candidate]:
    """One candidate per layer and criterion, in the order of both.

    counts: group -> how many of its units leave; groups without a number, or with 0, are left out. In a group that
    several layers write, each of them is asked, and its choice leaves all of them.
    """
    found = []
    for group in groups.rows.values():
        count = counts.get(group.name, 0)
        for layer in group.layers if count else ():
            written = group.writes(layer)
            for name, score in criteria.items():
                values = score(network, layer).cpu()[written.channels]
                order = values.argsort(stable=True)[:count]  # the first of equal ones leave first
                found.append(Candidate(layer, group.name, name, written.units[order]))
    return found


def mean_loss(network: nn.Module, samples: Sequence[Batch], objective: Objective | None = None) -> Tensor:
    """Mean loss over all samples, float64 [], on the device of the network."""
    known = objective or Objective()
    sums = [known(forward(network, batch), batch.labels).double() * len(batch) for batch in samples]
    return torch.stack(sums).sum() / sum(len(batch) for batch in samples)


class LossAware:
    """Chooses among candidates by the loss that the network has without them, on samples that stay the same.

    reuse: between two trainings, a candidate that is proposed again is not evaluated again; what its removal added to
    the loss then is added to the loss now. Removals in other layers meanwhile are ignored, which saves most of the
    evaluations when several steps follow each other. mean: mean over all processes, so that all choose alike.
    objective: the loss, cross-entropy by default.
    """

    def __init__(
        self,
        samples: Sequence[Batch],
        reuse: bool,
        mean: Callable[[Tensor], Tensor],
        objective: Objective | None = None,
    ) -> None:
        self.samples, self.reuse, self.mean = samples, reuse, mean
        self.objective = objective or Objective()
        self.evaluations = 0
        self._added: dict[tuple[str, tuple[int, ...]], float] = {}

    def choose(self, network: nn.Module, groups: Groups, candidates: Sequence[Candidate]) -> tuple[Candidate, float]:
        """The candidate with the least loss, the first of equal ones, and that loss.

        In evaluation mode, with masks in place of removal. Candidates that are the same removal are evaluated once.
        """
        if not self.reuse:
            self._added.clear()
        fresh = {candidate.key: candidate for candidate in candidates if candidate.key not in self._added}
        base, *values = self.mean(self._losses(network, groups, list(fresh.values()))).tolist()
        self.evaluations += 1 + len(fresh)
        self._added.update((key, value - base) for key, value in zip(fresh, values))
        best = min(candidates, key=lambda candidate: self._added[candidate.key])
        return best, base + self._added[best.key]

    def _losses(self, network: nn.Module, groups: Groups, candidates: Sequence[Candidate]) -> Tensor:
        """Mean loss of the network as it is, and without each candidate; float64 [1 + candidates]."""
        suffix = Suffix(network, self.samples[0].images[:1])
        totals: list[list[Tensor]] = [[] for _ in range(1 + len(candidates))]
        with evaluation(network):
            for images, labels in self._chunks(suffix.images_at_once):
                totals[0].append(self._sum(suffix.remember(images), labels, len(images)))
                for row, candidate in zip(totals[1:], candidates):
                    readers = {member.layer for member in groups.rows[candidate.group].readers}
                    with masked(network, groups, {candidate.group: candidate.units}):
                        row.append(self._sum(suffix.again(readers), labels, len(images)))
        count = sum(len(batch) for batch in self.samples)
        return torch.stack([torch.stack(row).sum() for row in totals]) / count

    def _sum(self, outputs: Any, labels: Any, count: int) -> Tensor:
        return self.objective(outputs, labels).double() * count

    def _chunks(self, most: int) -> Iterator[tuple[Tensor, Any]]:
        """Parts of the batches; a batch stays whole where only its loss knows which label belongs to which image."""
        for batch in self.samples:
            if self.objective.classes:
                yield from zip(batch.images.split(most), batch.labels.split(most))
            else:
                yield batch.images, batch.labels

    def removed(self, group: str) -> None:
        """Forget what was known about a group that has just lost units."""
        self._added = {key: value for key, value in self._added.items() if key[0] != group}


def trimmed(
    candidate: Candidate, groups: Groups, cost: WidthCost, gone: Mapping[str, int], budget: float, limits: Limits
) -> Candidate:
    """The candidate with as few units as the budget needs: the last step need not be a whole one.

    cost, gone: counted from the same network, without the candidate. Widths stay multiples.
    """
    width = groups.rows[candidate.group].width
    for count in range(1, len(candidate.units)):
        total = gone.get(candidate.group, 0) + count
        if (width - count) % limits.multiple == 0 and cost.share({**gone, candidate.group: total}) <= budget:
            return replace(candidate, units=candidate.units[:count])
    return candidate
