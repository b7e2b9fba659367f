"""How long a training step takes: dense and joint epochs in turn, by the toolchain's own loop, on random images."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sanp import models
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data.dataset import Dataset, Split
from sanp.data.objective import Objective
from sanp.methods.registry import create
from sanp.methods.stage import Context, Length
from sanp.settings.train import TrainSettings
from sanp.training.active_stage import ActiveStage
from sanp.training.arrays import ArraySource
from sanp.training.interrupt import StopRequest
from sanp.training.loop import Loop
from sanp.training.processes import Processes, processes
from sanp.training.state import Position

DENSE, JOINT = "pretrain", "joint"


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step, medians over epochs, and images per second that follow. losses: mean of each joint epoch."""

    precision: str
    batch: int
    dense_s: float
    joint_s: float
    losses: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data with the derived numbers."""
        return {
            "precision": self.precision, "batch": self.batch, "dense_ms": 1e3 * self.dense_s,
            "joint_ms": 1e3 * self.joint_s, "ratio": self.joint_s / self.dense_s,
            "dense_images_per_s": self.batch / self.dense_s, "joint_images_per_s": self.batch / self.joint_s,
            "losses": list(self.losses),
        }  # fmt: skip


def random_images(count: int, size: int) -> Dataset:
    """Noise with labels: the time of a step does not depend on what the images show."""
    rng = np.random.default_rng(0)
    mean, std = np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32)
    raw = rng.integers(0, 256, (count, 3, size, size), np.uint8)
    split = Split(raw, rng.integers(0, 10, count), mean, std)
    return Dataset("noise", 10, split, split, split, tuple(map(str, range(10))))


def measure(settings: TrainSettings, steps: int, epochs: int) -> StepTimes:
    """Epochs of `steps` steps; the first of each kind warms up and does not count."""
    dataset = random_images(steps * settings.batch_size, settings.image_size)
    with torch.random.fork_rng(), processes(settings.device) as together:
        source = ArraySource(dataset, settings, together)
        loop = Loop(settings, source, Objective(), together, StopRequest())
        runs = {name: _epochs(name, settings, loop, source, together, epochs + 1) for name in (DENSE, JOINT)}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        losses: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(epochs + 1):
            for name, run in runs.items():
                row = run()
                seconds[name].append(row["seconds"] / source.facts.steps)
                losses[name].append(row["loss"])
    dense, joint = (statistics.median(seconds[name][1:]) for name in (DENSE, JOINT))
    return StepTimes(settings.precision, settings.batch_size, dense, joint, tuple(losses[JOINT]))


def _epochs(
    name: str, settings: TrainSettings, loop: Loop, source: ArraySource, together: Processes, epochs: int
) -> Callable[[], dict[str, Any]]:
    """A function that trains one epoch of a stage and returns its metrics, seconds among them."""
    method = create(settings.method, settings.options)
    stages = {stage.name: stage for stage in method.stages(settings)}
    size, device = settings.image_size, together.device
    torch.manual_seed(settings.seed)
    network = models.build(settings.model, 10, settings.width, 3, size).to(device)
    example = torch.zeros(1, 3, size, size, device=device)
    full = CostTracker(network, example).dense
    context = Context(settings, network, example, MacCounter, full, source.samples, source.samples, together.mean)
    for stage in stages.values():  # what is prepared for this stage and those before it
        if stage.prepare is not None:
            context = replace(context, network=stage.prepare(context))
        if stage.name == name:
            break
    active = ActiveStage(stages[name], context, Length(epochs, source.facts.steps), together)
    position = Position(name)

    def run() -> dict[str, Any]:
        row = loop.epoch(active, position, lambda stopped: None)
        position.end_epoch(row)
        return row

    return run
