"""One epoch: the steps, their seeds, the checks between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sanp.data.batch import Batch, mapped
from sanp.data.objective import ACCURACY, Objective
from sanp.gating.forward import forward
from sanp.settings.train import TrainSettings
from sanp.training.active_stage import ActiveStage
from sanp.training.interrupt import StopRequest
from sanp.training.processes import Processes
from sanp.training.recorded import RecordedStep, record_on_gpu
from sanp.training.seeding import seed_for
from sanp.training.source import Source
from sanp.training.state import Position
from sanp_targets.errors import ConfigError, InputError

_SUMS = ("loss", "hits", "samples")  # over the samples of an epoch
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Loop:
    """Runs epochs of one stage."""

    def __init__(
        self, settings: TrainSettings, source: Source, objective: Objective, processes: Processes, stop: StopRequest
    ) -> None:
        self.settings, self.source, self.objective = settings, source, objective
        self.processes, self.stop = processes, stop
        half = settings.precision == "float16"
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=half and processes.device.type == "cuda")
        if settings.cuda_graph and (processes.device.type != "cuda" or processes.world > 1):
            raise ConfigError(
                f"cuda_graph is set for {processes.world} processes on {processes.device.type}, expected one process "
                "on a GPU; leave it out"
            )
        self._record = record_on_gpu
        self._step_of: torch.optim.Optimizer | None = None  # whose step was the last one, in this epoch
        self._recorded: RecordedStep | None = None

    def epoch(self, active: ActiveStage, position: Position, pause: Callable[[bool], None]) -> dict[str, Any]:
        """Run the rest of `position`'s epoch and return its metrics.

        pause(stopped) is called between steps when the state may need saving; it raises to leave the loop.
        Raises InputError if the loss is not finite.
        """
        started = time.perf_counter()
        sums = [position.sums.get(key, 0.0) for key in _SUMS]
        totals = torch.tensor(sums, device=self.processes.device, dtype=torch.float64)
        name = active.stage.name
        active.network.train()
        active.task.before_epoch(position.epoch)
        self._forget_recording()  # what Python changes between epochs, such as the noise, is part of a recording
        with self._own_stream():
            seed = seed_for(self.settings.seed, name, position.epoch)
            for batch in self.source.epoch(seed, len(position.history), position.step):
                totals += self._step(active, batch, position)
                position.step, position.stage_step = position.step + 1, position.stage_step + 1
                due = position.step % self.settings.log_every == 0 or position.step == self.source.facts.steps
                if due or (self.processes.world == 1 and self.stop.signal is not None):
                    self._checkpoint(name, position, totals, pause)
        seconds = time.perf_counter() - started
        loss, hits, samples = self.processes.mean(totals).tolist()
        accuracy = {ACCURACY: hits / max(1, samples)} if self.objective.classes else {}
        return {
            "stage": name,
            "epoch": position.epoch,
            "loss": loss / max(1, samples),
            **accuracy,
            "lr": float(active.optimizer.param_groups[0]["lr"]),
            "seconds": seconds,
            "samples_per_s": (samples - sums[2]) * self.processes.world / max(seconds, 1e-9),
            **active.task.metrics(),
        }

    def _step(self, active: ActiveStage, batch: Batch, position: Position) -> Tensor:
        """One optimizer step; loss, hits and number of samples, float64 [3] on the device, the loss as their sum."""
        settings, name = self.settings, active.stage.name
        torch.manual_seed(seed_for(settings.seed, name, "change", position.stage_step))  # the same in all processes
        active.change(position.stage_step, position.epoch)
        active.set_rate(position.stage_step)
        torch.manual_seed(seed_for(settings.seed, name, position.epoch, position.step, self.processes.rank))
        batch = self.source.augment(batch)
        loss, hits = self._learn(active, batch)
        if any(parameter.grad is not None for parameter in active.trained()):  # gates without parameters do not learn
            self.scaler.unscale_(active.optimizer)
            nn.utils.clip_grad_norm_(active.trained(), settings.clip_norm, foreach=True)
            self.scaler.step(active.optimizer)
            self.scaler.update()
        active.task.after_step(position.stage_step)
        samples = torch.full_like(loss, len(batch))
        return torch.stack([loss * samples, hits, samples])

    def _learn(self, active: ActiveStage, batch: Batch) -> Tensor:
        """Loss and hits of a batch, float64 [2], and the gradients of the loss; replayed where it was recorded."""
        if not self.settings.cuda_graph or not active.task.recordable() or not isinstance(batch.labels, Tensor):
            return self._forward_and_backward(active, batch)
        if self._step_of is not active.optimizer:  # the first step of an epoch or of a changed network: libraries start
            self._forget_recording()
            self._step_of = active.optimizer
            return self._forward_and_backward(active, batch)
        if self._recorded is None:
            self._recorded = RecordedStep.of(
                lambda known: self._forward_and_backward(active, known), batch, active.trained(), self._record
            )
        return self._recorded(batch) if self._recorded.fits(batch) else self._forward_and_backward(active, batch)

    def _forward_and_backward(self, active: ActiveStage, batch: Batch) -> Tensor:
        settings = self.settings
        active.optimizer.zero_grad(set_to_none=True)
        device, half = self.processes.device.type, settings.precision != "float32"
        with torch.autocast(device, _TYPES[settings.precision], enabled=half):
            outputs = forward(active.network, batch, active.called)
        outputs = mapped(outputs, lambda item: item.float() if item.is_floating_point() else item)
        loss = active.task.loss(outputs, batch)
        if loss.requires_grad:
            self.scaler.scale(loss).backward()
        hits = self.objective.hits(outputs, batch.labels)
        return torch.stack([loss.detach().double(), hits.double()])

    def _forget_recording(self) -> None:
        self._recorded, self._step_of = None, None

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        """A recording is made on a stream of its own, where the steps before it must have run too."""
        if not self.settings.cuda_graph or self.processes.device.type != "cuda":
            yield
            return
        outer, own = torch.cuda.current_stream(), torch.cuda.Stream()
        own.wait_stream(outer)
        try:
            with torch.cuda.stream(own):
                yield
        finally:
            outer.wait_stream(own)

    def _checkpoint(self, stage: str, position: Position, totals: Tensor, pause: Callable[[bool], None]) -> None:
        """Check the loss, remember the sums, and let the run save its state.

        The sums are those of all processes: each of them starts from the saved ones, and all stop at the same step.
        """
        loss, hits, samples = self.processes.mean(totals).tolist()
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} in stage {stage}, epoch {position.epoch + 1}, at or before step "
                f"{position.step}; the last saved state is intact: lower the learning rate and start again"
            )
        position.sums = dict(zip(_SUMS, (loss, hits, samples)))
        pause(self.processes.any(self.stop.signal is not None))
