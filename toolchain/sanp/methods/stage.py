"""A stage of training as data, and what it works with: parameter groups, tasks, and changes of the architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sanp.cost.calibration import mean_cost
from sanp.cost.counter import Counter
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.data.objective import Objective
from sanp.settings.train import TrainSettings
from sanp_runtime.network.layers import Layer


@dataclass(frozen=True, eq=False)
class Context:
    """What a method may use of a run.

    example: a zero image [1, C, H, W]. counter: what the budget is counted in. full: cost of the backbone as it was
    built, to which all shares refer.
    samples(n): the first n training images, in batches, not augmented. draw(n): n random training images in batches,
    augmented once if training is; the same ones at every call. Data of the user's own may give a few more, and other
    ones in every process. mean: mean of a tensor over all processes. backbone(): the dense network that the backbone
    stage ended with, in evaluation mode; None before that. objective: the loss, and whether labels are classes.
    recalibrate(network): measures its batch-norm statistics on the training images, those that it will be evaluated
    with. What opens or closes gates changes them, and they change what the gates open.
    """

    train: TrainSettings
    network: nn.Module
    example: Tensor
    counter: Callable[[Sequence[Layer]], Counter]
    full: float
    samples: Callable[[int], Iterator[Batch]]
    draw: Callable[[int], Iterator[Batch]]
    mean: Callable[[Tensor], Tensor]
    backbone: Callable[[], nn.Module | None] = lambda: None
    objective: Objective = field(default_factory=Objective)
    recalibrate: Callable[[nn.Module], None] = lambda network: None

    def tracker(self) -> CostTracker:
        """Counts what the network costs now."""
        return CostTracker(self.network, self.example, self.counter, self.full)

    def mean_cost(self, tracker: CostTracker, most: int) -> float:
        """Mean cost of `most` training samples in evaluation mode, the same number in all processes."""
        cost = mean_cost(self.network, tracker, self.samples(most))
        return float(self.mean(torch.tensor(cost, dtype=torch.float64, device=self.example.device)))


@dataclass(frozen=True)
class Length:
    """How long a stage is: epochs, and steps per epoch."""

    epochs: int
    steps: int

    @property
    def total(self) -> int:
        """Steps of the whole stage, at least 1."""
        return max(1, self.epochs * self.steps)


@dataclass(frozen=True)
class Group:
    """Parameters that learn: a factor on the stage's learning rate, and their weight decay."""

    parameters: list[nn.Parameter]
    scale: float
    weight_decay: float


@dataclass(frozen=True, eq=False)
class Change:
    """A network whose architecture was changed, with the momentum of its parameters by name (those that kept it)."""

    network: nn.Module
    momentum: Mapping[str, Tensor]


class Task:
    """What a stage does in and around its steps, for one network; made again when the architecture changes.

    The base learns the labels and nothing else. Subclasses add loss terms and hooks. Whatever a task remembers between
    steps belongs into `state`: a resumed run makes a new task and calls `restore`.
    """

    def __init__(self, context: Context, length: Length) -> None:
        self.context, self.length = context, length

    def recordable(self) -> bool:
        """Whether a step does the same operations all through an epoch, with no number that Python changes.

        Then it may be replayed as a CUDA graph (`TrainSettings.cuda_graph`). False as soon as a subclass has hooks of
        its own: it says so itself, if its `loss` copies no value to the host and its hooks change tensors in place.
        """
        return self.hooks_of(Task)

    def hooks_of(self, known: type[Task]) -> bool:
        """Whether what this task does in a step is all written in `known`."""
        return all(getattr(type(self), name) is getattr(known, name) for name in ("before_step", "loss", "after_step"))

    def before_epoch(self, epoch: int) -> None:
        """Called before each epoch, and again when a run resumes inside one or the architecture changes."""

    def before_step(self, step: int, momentum: Callable[[], dict[str, Tensor]]) -> Change | None:
        """Called before each step of the stage; returns a changed network, or None as nearly always.

        Everything random must come from the global generator, which is seeded from the step. momentum() gives the
        momentum by parameter name. Optimizer, task and tracker are made again from the answer, and `state` is carried
        over. All processes must come to the same answer.
        """
        return None

    def factor(self, step: int, scheduled: float) -> float:
        """Factor on the stage's learning rate in a step; scheduled: what the schedule of the stage says."""
        return scheduled

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Scalar loss of a batch that the network has just seen; outputs are logits where labels are classes."""
        return self.context.objective(outputs, batch.labels)

    def after_step(self, step: int) -> None:
        """Called after each step of the optimizer."""

    def finished(self) -> bool:
        """Whether the stage ends before its last epoch; asked between epochs."""
        return False

    def metrics(self) -> dict[str, float]:
        """Further numbers of an epoch, for metrics.jsonl."""
        return {}

    def state(self) -> dict[str, Any]:
        """What must survive an interruption, as JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""


def rise_and_cosine(step: int, total: int) -> float:
    """Factor on the peak rate: linear rise over the first 5 % of a stage, then half a cosine to zero."""
    return min(1.0, (step + 1) / total / 0.05) * 0.5 * (1 + math.cos(math.pi * step / total))


@dataclass(frozen=True)
class Stage:
    """One part of training.

    name: in metrics, seeds and resume states; unique in a method. groups: which parameters learn; the others are
    frozen. task: loss and hooks. schedule(step, total): factor on lr. prepare: run once before the stage, returns
    the network that it trains, with gates or fewer channels. backbone: the stage trains the plain network; what it ends
    with is the dense baseline (dense.safetensors), and a pretrained checkpoint takes its place.
    """

    name: str
    epochs: int
    lr: float
    groups: Callable[[nn.Module], list[Group]]
    task: Callable[[Context, Length], Task] = Task
    schedule: Callable[[int, int], float] = rise_and_cosine
    prepare: Callable[[Context], nn.Module] | None = None
    backbone: bool = False
