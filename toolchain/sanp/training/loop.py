"""One epoch: the steps, their seeds, the checks between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sanp.data import Dataset
from sanp.gating.controls import tell_modes
from sanp.training.batches import Batches, augmented, seed_for
from sanp.training.config import TrainConfig
from sanp.training.distributed import Workers
from sanp.training.interrupt import StopRequest
from sanp.training.stages import Stage
from sanp.training.state import Position
from sanp_targets.errors import InputError

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Loop:
    """Runs epochs of one stage. `model` is called through DDP when there are several processes."""

    def __init__(
        self, config: TrainConfig, dataset: Dataset, batches: Batches, team: Workers, stop: StopRequest
    ) -> None:
        self.config, self.dataset, self.batches, self.team, self.stop = config, dataset, batches, team, stop
        half = config.precision == "float16"
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=half and team.device.type == "cuda")

    def epoch(
        self, stage: Stage, model: nn.Module, called: nn.Module, position: Position, pause: Callable[[bool], None]
    ) -> dict[str, Any]:
        """Run the rest of `position`'s epoch and return its metrics.

        pause(stopped) is called between steps when the state may need saving; it raises to leave the loop.
        Raises InputError if the loss is not finite.
        """
        started, first = time.perf_counter(), position.step
        sums = [position.sums.get(key, 0.0) for key in ("loss", "hits")]
        totals = torch.tensor(sums, device=self.team.device, dtype=torch.float64)
        seed = seed_for(self.config.seed, stage.name, position.epoch)
        model.train()
        stage.before_epoch(position.epoch)
        for rows in self.batches.epoch(seed, position.step):
            stage.set_rate(position.epoch * self.batches.steps + position.step)
            totals += self._step(stage, model, called, rows, position)
            stage.after_step(position.epoch * self.batches.steps + position.step)
            position.step += 1
            due = position.step % self.config.log_every == 0 or position.step == self.batches.steps
            if due or (self.team.world == 1 and self.stop.signal is not None):
                self._checkpoint(stage, position, totals, pause)
        seconds, count = time.perf_counter() - started, position.step * self.batches.batch_size
        loss, hits = self.team.mean(totals).tolist()
        return {
            "stage": stage.name,
            "epoch": position.epoch,
            "loss": loss / max(1, position.step),
            "accuracy": hits / max(1, count),
            "lr": float(stage.optimizer.param_groups[0]["lr"]),
            "seconds": seconds,
            "samples_per_s": (position.step - first) * self.batches.batch_size * self.team.world / max(seconds, 1e-9),
        }

    def _step(
        self, stage: Stage, model: nn.Module, called: nn.Module, rows: torch.Tensor, position: Position
    ) -> torch.Tensor:
        """One optimizer step; loss and hits as float64 [2] on the device."""
        config, device = self.config, self.team.device
        torch.manual_seed(seed_for(config.seed, stage.name, position.epoch, position.step, self.team.rank))
        images, labels = self.batches.normalised(rows), self.batches.labels[rows]
        if config.augment:
            images = augmented(images, self.dataset)
        if self.batches.modes is not None:
            tell_modes(model, self.batches.modes[rows])
        with torch.autocast(device.type, _TYPES[config.precision], enabled=config.precision != "float32"):
            logits = called(images).float()
        loss = stage.loss(logits, labels)
        stage.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a warm-up of gates without parameters (random) has nothing to learn
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(stage.optimizer)
            nn.utils.clip_grad_norm_(_trained(stage), config.clip_norm, foreach=True)
            self.scaler.step(stage.optimizer)
            self.scaler.update()
        hits = (logits.argmax(1) == labels).sum()
        return torch.stack([loss.detach().double(), hits.double()])

    def _checkpoint(
        self, stage: Stage, position: Position, totals: torch.Tensor, pause: Callable[[bool], None]
    ) -> None:
        """Check the loss, remember the sums, and let the run save its state.

        The sums are those of all processes: each of them starts from the saved ones, and all stop at the same step.
        """
        loss, hits = self.team.mean(totals).tolist()
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} in stage {stage.name}, epoch {position.epoch + 1}, at or before step "
                f"{position.step}; the last saved state is intact: lower the learning rate and start again"
            )
        position.sums = {"loss": loss, "hits": hits}
        pause(self.team.any(self.stop.signal is not None))


def _trained(stage: Stage) -> list[torch.Tensor]:
    return [parameter for group in stage.optimizer.param_groups for parameter in group["params"]]
