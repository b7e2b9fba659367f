"""One epoch: the steps, their seeds, the checks between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sanp.data import Dataset
from sanp.data.batch import Batch
from sanp.gating.forward import forward
from sanp.settings.train import TrainSettings
from sanp.training.active_stage import ActiveStage
from sanp.training.batches import Batches, augmented, seed_for
from sanp.training.interrupt import StopRequest
from sanp.training.processes import Processes
from sanp.training.recorded import RecordedStep, record_on_gpu
from sanp.training.state import Position
from sanp_targets.errors import ConfigError, InputError

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Loop:
    """Runs epochs of one stage."""

    def __init__(
        self, settings: TrainSettings, dataset: Dataset, batches: Batches, processes: Processes, stop: StopRequest
    ) -> None:
        self.settings, self.dataset, self.batches = settings, dataset, batches
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
        started, first = time.perf_counter(), position.step
        sums = [position.sums.get(key, 0.0) for key in ("loss", "hits")]
        totals = torch.tensor(sums, device=self.processes.device, dtype=torch.float64)
        name = active.stage.name
        active.network.train()
        active.task.before_epoch(position.epoch)
        self._forget_recording()  # what Python changes between epochs, such as the noise, is part of a recording
        with self._own_stream():
            for batch in self.batches.epoch(seed_for(self.settings.seed, name, position.epoch), position.step):
                totals += self._step(active, batch, position)
                position.step, position.stage_step = position.step + 1, position.stage_step + 1
                due = position.step % self.settings.log_every == 0 or position.step == self.batches.steps
                if due or (self.processes.world == 1 and self.stop.signal is not None):
                    self._checkpoint(name, position, totals, pause)
        seconds, count = time.perf_counter() - started, position.step * self.batches.batch_size
        loss, hits = self.processes.mean(totals).tolist()
        return {
            "stage": name,
            "epoch": position.epoch,
            "loss": loss / max(1, position.step),
            "accuracy": hits / max(1, count),
            "lr": float(active.optimizer.param_groups[0]["lr"]),
            "seconds": seconds,
            "samples_per_s": (position.step - first)
            * self.batches.batch_size
            * self.processes.world
            / max(seconds, 1e-9),
            **active.task.metrics(),
        }

    def _step(self, active: ActiveStage, batch: Batch, position: Position) -> Tensor:
        """One optimizer step; loss and hits as float64 [2] on the device."""
        settings, name = self.settings, active.stage.name
        torch.manual_seed(seed_for(settings.seed, name, "change", position.stage_step))  # the same in all processes
        active.change(position.stage_step, position.epoch)
        active.set_rate(position.stage_step)
        torch.manual_seed(seed_for(settings.seed, name, position.epoch, position.step, self.processes.rank))
        batch = augment(batch, settings, self.dataset)
        result = self._learn(active, batch)
        if any(parameter.grad is not None for parameter in active.trained()):  # gates without parameters do not learn
            self.scaler.unscale_(active.optimizer)
            nn.utils.clip_grad_norm_(active.trained(), settings.clip_norm, foreach=True)
            self.scaler.step(active.optimizer)
            self.scaler.update()
        active.task.after_step(position.stage_step)
        return result

    def _learn(self, active: ActiveStage, batch: Batch) -> Tensor:
        """Loss and hits of a batch, float64 [2], and the gradients of the loss; replayed where it was recorded."""
        if not self.settings.cuda_graph or not active.task.recordable():
            return self._forward_and_backward(active, batch)
        if self._step_of is not active.optimizer:  # the first step of an epoch or of a changed network: libraries start
            self._forget_recording()
            self._step_of = active.optimizer
            return self._forward_and_backward(active, batch)
        if self._recorded is None:
            self._recorded = RecordedStep.of(
                lambda known: self._forward_and_backward(active, known), batch, active.trained(), self._record
            )
        return self._recorded(batch)

    def _forward_and_backward(self, active: ActiveStage, batch: Batch) -> Tensor:
        settings = self.settings
        active.optimizer.zero_grad(set_to_none=True)
        device, half = self.processes.device.type, settings.precision != "float32"
        with torch.autocast(device, _TYPES[settings.precision], enabled=half):
            logits = forward(active.network, batch, active.called).float()
        loss = active.task.loss(logits, batch)
        if loss.requires_grad:
            self.scaler.scale(loss).backward()
        hits = (logits.argmax(1) == batch.labels).sum()
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
        loss, hits = self.processes.mean(totals).tolist()
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} in stage {stage}, epoch {position.epoch + 1}, at or before step "
                f"{position.step}; the last saved state is intact: lower the learning rate and start again"
            )
        position.sums = {"loss": loss, "hits": hits}
        pause(self.processes.any(self.stop.signal is not None))


def augment(batch: Batch, settings: TrainSettings, dataset: Dataset) -> Batch:
    """The batch with augmented images, from the global generator; the batch itself where augmentation is off."""
    return replace(batch, images=augmented(batch.images, dataset)) if settings.augment else batch
