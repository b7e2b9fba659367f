"""One run: the stages of a method in order, resumable, ending in a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanp import checkpoint, data, models
from sanp.checkpoint.architecture import rebuild
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.methods.base import Method
from sanp.methods.stage import Context, Length, Stage
from sanp.settings.train import TrainSettings
from sanp.tracing.trace import evaluation
from sanp.training import state
from sanp.training.active_stage import ActiveStage
from sanp.training.arithmetic import differences, keep_threads
from sanp.training.batches import Batches, seed_for
from sanp.training.evaluation import Evaluation, evaluate
from sanp.training.interrupt import StopRequest
from sanp.training.loop import Loop, augment
from sanp.training.metadata import describe
from sanp.training.processes import Processes
from sanp.training.progress import Journal
from sanp.training.recalibration import recalibrate
from sanp.training.result import TrainResult, check_budget
from sanp_targets.errors import ConfigError, InputError, TrainingInterrupted

_RECALIBRATION_IMAGES = 8192
_COUNTER = MacCounter  # what the budget is counted in


class Run:
    """State of one call of `train`."""

    def __init__(
        self,
        settings: TrainSettings,
        method: Method,
        dataset: data.Dataset,
        output: Path,
        together: Processes,
        stop: StopRequest,
        journal: Journal,
        resume: bool,
    ) -> None:
        self.settings, self.method, self.dataset, self.output = settings, method, dataset, output
        self.processes, self.journal = together, journal
        device = together.device
        self.batches = Batches(dataset.train, device, settings.batch_size, together.rank, together.world)
        self.test = Batches(dataset.test, device, settings.batch_size)
        if not self.batches.steps or self.batches.batch_size < 2:
            raise ConfigError(
                f"batch_size {settings.batch_size} over {together.world} processes leaves {self.batches.batch_size} "
                "samples per step, batch norm needs at least 2; raise the batch size"
            )
        self.loop = Loop(settings, dataset, self.batches, together, stop)
        self.stages = {stage.name: stage for stage in method.stages(settings)}
        self.saved_at = time.monotonic()
        self._resumed: state.SavedState | None = None
        torch.manual_seed(settings.seed)
        size, channels = dataset.image_size, dataset.in_channels
        self.network = models.build_for(settings, dataset.num_classes, channels).to(device)
        _check_logits(self.network, torch.zeros(2, channels, size, size, device=device), settings, dataset.num_classes)
        self.example = torch.zeros(1, channels, size, size, device=device)
        self.full = CostTracker(self.network, self.example, _COUNTER).dense
        if resume:
            self.position = self._restore()
        else:
            self._check_floor()
            first = next(iter(self.stages.values()))
            self.position = state.Position(first.name)
            self._prepare(first)
        journal.restart(self.position.history)

    def finish(self) -> TrainResult:
        """Run what is left of the stages, then the final recalibration and evaluation."""
        names = [*self.stages, None]
        while self.position.stage is not None:
            stage = self.stages[self.position.stage]
            if stage.backbone and self.settings.pretrained is not None:
                self._load_backbone(self.settings.pretrained)
            else:
                self._run_stage(stage)
            if stage.backbone:
                self._end_of_backbone()
            after = names[names.index(stage.name) + 1]
            self.position.enter(after)
            if after is not None:
                self._prepare(self.stages[after])
            self._save(None)
        return self._result()

    def _check_floor(self) -> None:
        floor, budget = self.method.floor(self._context()), self.settings.budget
        if budget <= floor:
            raise ConfigError(
                f"budget is {budget:g} of the dense cost, expected more than {floor:.4f}, which "
                f"{self.method.floor_holds} cost; raise the budget"
            )

    def _prepare(self, stage: Stage) -> None:
        """What happens to the network before a stage. Seeded, so that gates begin alike after any backbone."""
        if stage.prepare is not None:
            torch.manual_seed(self.settings.seed + 1)
            self.network = stage.prepare(self._context())

    def _context(self) -> Context:
        return Context(
            self.settings,
            self.network,
            self.example,
            _COUNTER,
            self.full,
            self._samples,
            self._draw,
            self.processes.mean,
            self._backbone,
            self._measure_norms,
        )

    def _backbone(self) -> nn.Module | None:
        path = self.output / "dense.safetensors"
        return checkpoint.load(path).model.eval() if path.is_file() else None

    def _samples(self, most: int) -> Iterator[Batch]:
        return self.batches.sequential(256, most)

    def _draw(self, count: int) -> Iterator[Batch]:
        for number, batch in enumerate(self.batches.drawn(seed_for(self.settings.seed, "drawn"), count)):
            with torch.random.fork_rng():
                torch.manual_seed(seed_for(self.settings.seed, "drawn", number))
                yield augment(batch, self.settings, self.dataset)

    def _run_stage(self, stage: Stage) -> None:
        position, length = self.position, Length(stage.epochs, self.batches.steps)
        active = ActiveStage(stage, self._context(), length, self.processes)
        if self._resumed is not None:
            active.restore_momentum(self._resumed.momentum)
            if self._resumed.task is not None:
                active.task.restore(self._resumed.task)
            active.set_rate(max(0, position.stage_step - 1))  # for the metrics, if the epoch has no step left
            self._resumed = None

        def pause(stopped: bool) -> None:
            self.network = active.network
            self.journal.step(stage.name, position.stage_step, length.total)
            if stopped or time.monotonic() - self.saved_at > self.settings.save_every_s:
                self._save(active)
            if stopped:
                raise TrainingInterrupted(
                    f"training stopped in stage {stage.name}, epoch {position.epoch + 1} of {stage.epochs}; "
                    f"its state is in {self.output}: resume to continue"
                )

        while position.epoch < stage.epochs and (position.step or not active.task.finished()):
            row = self.loop.epoch(active, position, pause)
            position.end_epoch(row)
            self.journal.epoch(row)
            self.journal.step(stage.name, position.stage_step, length.total, _note(row))
        self.network = active.network

    def _load_backbone(self, path: Path) -> None:
        """Take the weights of a dense checkpoint in place of pretraining."""
        found = checkpoint.load(path).model.state_dict()
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in self.network.state_dict().items()}:
            raise ConfigError(
                f"{path} does not hold a dense {self.settings.backbone} for "
                f"{self.dataset.num_classes} classes; pass the dense.safetensors of a run with the same backbone"
            )
        self.network.load_state_dict(found)

    def _end_of_backbone(self) -> None:
        """Evaluate and keep the backbone."""
        self._recalibrate()
        dense = evaluate(self.network, self.test)
        self.position.dense = dense.to_json()
        self._write_checkpoint("dense.safetensors", dense)

    def _recalibrate(self) -> None:
        self._measure_norms(self.network)

    def _measure_norms(self, network: nn.Module) -> None:
        recalibrate(network, self.batches.even(256, most=_RECALIBRATION_IMAGES))

    def _result(self) -> TrainResult:
        tracker = self._context().tracker()
        self._recalibrate()
        uncalibrated = evaluate(self.network, self.test, tracker)
        if self.method.finish(self._context()):
            self._recalibrate()
        final = evaluate(self.network, self.test, tracker)
        path = self._write_checkpoint("checkpoint.safetensors", final, tracker, uncalibrated)
        if self.method.budgeted:
            check_budget(path, final.cost, self.settings.budget)
        dense = self.position.dense["accuracy"] if self.position.dense else None
        history = tuple(self.position.history)
        return TrainResult(path, dense, final.accuracy, final.cost, final, uncalibrated, history)

    def _write_checkpoint(
        self,
        name: str,
        result: Evaluation,
        tracker: CostTracker | None = None,
        uncalibrated: Evaluation | None = None,
    ) -> Path:
        metadata = describe(self.dataset, self.position.dense, result, tracker, uncalibrated)
        path = self.output / name
        if self.processes.first:
            checkpoint.save(
                path,
                self.network,
                self.settings,
                num_classes=self.dataset.num_classes,
                in_channels=self.dataset.in_channels,
                metadata=metadata,
            )
        self.processes.barrier()
        return path

    def _save(self, active: ActiveStage | None) -> None:
        if self.processes.first:
            path, scaler = self.output / "state.safetensors", self.loop.scaler.state_dict()
            momentum, task = ({}, None) if active is None else (active.momentum(), active.task.state())
            state.save(path, self.settings, self.position, self.network, momentum, task, scaler)
        self.saved_at = time.monotonic()

    def _restore(self) -> state.Position:
        path = self.output / "state.safetensors"
        saved = state.load(path, self.settings)
        if saved.position.stage not in {*self.stages, None}:
            raise InputError(
                f"{path} stands in stage {saved.position.stage}, expected one of {', '.join(self.stages)}; "
                "start in another folder"
            )
        self.network = rebuild(path, self.network, saved.architecture, self.example)
        self.network.load_state_dict(saved.model)
        if saved.scaler:
            self.loop.scaler.load_state_dict(saved.scaler)
        self._resumed = saved
        if said := keep_threads(saved.arithmetic, self.settings.threads):
            self.journal.say(said)
        if different := differences(saved.arithmetic):
            self.journal.say(
                f"resumed where sums round differently ({different}): the result is another one by rounding"
            )
        return saved.position


def _check_logits(network: nn.Module, images: Tensor, settings: TrainSettings, classes: int) -> None:
    """ConfigError unless the network maps images [2, C, H, W] to one row of logits each."""
    try:
        with evaluation(network):
            found = network(images)
    except Exception as error:
        raise ConfigError(
            f"{settings.backbone} does not take images {tuple(images.shape[1:])} ({str(error).splitlines()[0]}), "
            "expected those of the data set; correct image_size or model_args"
        ) from error
    if not isinstance(found, Tensor) or found.shape != (len(images), classes):
        shown = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(
            f"{settings.backbone} answers {len(images)} images with {shown}, expected logits {(len(images), classes)}: "
            f"the data set has {classes} classes; correct model_args"
        )


def _note(row: dict[str, Any]) -> str:
    note = f"loss {row['loss']:.3f}  train {100 * row['accuracy']:.1f} %"
    return note + (f"  cost {100 * row['cost']:.1f} %" if "cost" in row else "")
