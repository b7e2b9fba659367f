"""`train`: the three stages in order, resumable, ending in a checkpoint."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sanp import checkpoint, data, models
from sanp.cost.tracker import CostTracker
from sanp.gating.attach import gate
from sanp.training import state
from sanp.training.batches import Batches
from sanp.training.calibration import apply_density, calibrate_threshold
from sanp.training.config import TrainConfig
from sanp.training.controller import BudgetController
from sanp.training.distributed import Workers, workers
from sanp.training.evaluation import Evaluation, evaluate
from sanp.training.interrupt import StopRequest, stop_on_signal
from sanp.training.loop import Loop
from sanp.training.metadata import describe
from sanp.training.progress import Journal
from sanp.training.recalibration import recalibrate
from sanp.training.stages import Joint, Stage, WarmUp
from sanp_targets.errors import ConfigError, TrainingInterrupted

_RECALIBRATION_IMAGES = 8192


@dataclass(frozen=True)
class TrainResult:
    """What a run produced. Accuracies and costs are shares (0 to 1) on the test split; cost includes the SPMs."""

    checkpoint: Path
    dense_accuracy: float
    accuracy: float
    cost: float
    evaluation: Evaluation
    uncalibrated: Evaluation  # before the gate threshold was raised to meet the budget
    history: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def train(config: TrainConfig, *, output: Path, progress: bool = True, resume: bool = False) -> TrainResult:
    """Train a gated network into the folder `output` and return what it reached.

    Writes checkpoint.safetensors (the gated network), dense.safetensors (the pretrained backbone), state.safetensors
    (to resume), metrics.jsonl and, where TensorBoard is installed, tensorboard/. progress: bars on stderr.
    resume: continue from output/state.safetensors. Under torchrun every process calls this; rank 0 writes.

    Raises ConfigError for a configuration that cannot run, InputError for damaged files or a loss that is not finite,
    TrainingInterrupted after SIGINT or SIGTERM, when the state has been saved.
    """
    output = Path(output)
    dataset = data.load(config.dataset, root=config.data_root, image_size=config.image_size, **config.data_options)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "metrics.jsonl").touch()
    except OSError as error:
        raise ConfigError(f"cannot write into {output} ({error.strerror}); choose another output folder") from error
    with ExitStack() as scope:
        scope.enter_context(torch.random.fork_rng())
        stop, team = scope.enter_context(stop_on_signal()), scope.enter_context(workers(config.device))
        journal = scope.enter_context(Journal(output, show=progress and team.first, write=team.first))
        return _Run(config, dataset, output, team, stop, journal, resume).finish()


class _Run:
    """State of one call of `train`."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: data.Dataset,
        output: Path,
        team: Workers,
        stop: StopRequest,
        journal: Journal,
        resume: bool,
    ) -> None:
        self.config, self.dataset, self.output, self.team, self.journal = config, dataset, output, team, journal
        self.batches = Batches(dataset.train, team.device, config.batch_size, team.rank, team.world)
        self.test = Batches(dataset.test, team.device, config.batch_size)
        if not self.batches.steps or self.batches.batch_size < 2:
            raise ConfigError(
                f"batch_size {config.batch_size} over {team.world} processes leaves {self.batches.batch_size} samples "
                "per step, batch norm needs at least 2; raise the batch size"
            )
        self.loop = Loop(config, dataset, self.batches, team, stop)
        self.controller = BudgetController(config, team.device)
        self.position = state.Position()
        self.epochs = (config.pretrain_epochs, config.warmup_epochs, config.joint_epochs)
        self.saved_at = time.monotonic()
        self._momentum: dict[str, torch.Tensor] = {}
        torch.manual_seed(config.seed)
        self.model = models.build(
            config.model, dataset.num_classes, config.width, dataset.in_channels, dataset.image_size
        ).to(team.device)
        self.example = torch.zeros(1, dataset.in_channels, dataset.image_size, dataset.image_size, device=team.device)
        if resume:
            self._restore()
        journal.restart(self.position.history)

    def finish(self) -> TrainResult:
        """Run what is left of the stages, then the final recalibration and evaluation."""
        while self.position.stage < len(self.epochs):
            if self.position.stage == 0 and self.config.pretrained is not None:
                self._load_backbone(self.config.pretrained)
            else:
                self._stage()
            if self.position.stage == 0:
                self._end_of_pretraining()
            self.position.stage += 1
            self.position.epoch = self.position.step = 0
            self._save(None)
        return self._result()

    def _stage(self) -> None:
        position, stage = self.position, self._build_stage()
        state.restore_momentum(stage.optimizer, self._momentum)
        self._momentum = {}
        called = self.team.wrap(self.model)

        def pause(stopped: bool) -> None:
            self.journal.step(stage.name, position.epoch * stage.steps + position.step, stage.total)
            if stopped or time.monotonic() - self.saved_at > self.config.save_every_s:
                self._save(stage)
            if stopped:
                raise TrainingInterrupted(
                    f"training stopped in stage {stage.name}, epoch {position.epoch + 1} of {stage.epochs}; "
                    f"its state is in {self.output}: resume to continue"
                )

        while position.epoch < stage.epochs:
            row = self.loop.epoch(stage, self.model, called, position, pause)
            if isinstance(stage, Joint):
                row.update(cost=float(self.controller.cost), weight=float(self.controller.weight))
            position.history.append(row)
            position.epoch, position.step, position.sums = position.epoch + 1, 0, {}
            self.journal.epoch(row)
            self.journal.step(stage.name, position.epoch * stage.steps, stage.total, _note(row))

    def _build_stage(self) -> Stage:
        config, steps, index = self.config, self.batches.steps, self.position.stage
        epochs = self.epochs[index]
        if index == 0:
            return Stage(config, self.model, epochs, steps, config.lr)
        if index == 1:
            return WarmUp(config, self.model, epochs, steps, config.warmup_lr)
        tracker = CostTracker(self.model, self.example)
        return Joint(config, self.model, epochs, steps, config.joint_lr, tracker, self.controller, self.team)

    def _load_backbone(self, path: Path) -> None:
        """Take the weights of a dense checkpoint in place of pretraining."""
        found = checkpoint.load(path).model.state_dict()
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in self.model.state_dict().items()}:
            raise ConfigError(
                f"{path} does not hold a dense {self.config.model} of width {self.config.width} for "
                f"{self.dataset.num_classes} classes; pass the dense.safetensors of a run with the same backbone"
            )
        self.model.load_state_dict(found)

    def _end_of_pretraining(self) -> None:
        """Evaluate and keep the backbone, then attach the gates."""
        self._recalibrate()
        dense = evaluate(self.model, self.test)
        self.position.dense = dense.to_json()
        self._write_checkpoint("dense.safetensors", dense)
        torch.manual_seed(self.config.seed + 1)
        self._attach()

    def _attach(self) -> None:
        self.model = gate(self.model, self.example, self.config.policy, **self.config.gate_options())

    def _recalibrate(self) -> None:
        recalibrate(self.model, self._training_images())

    def _training_images(self) -> Any:
        from sanp.gating.controls import tell_modes

        for rows in self.batches.even(256, most=_RECALIBRATION_IMAGES):
            if self.batches.modes is not None:
                tell_modes(self.model, self.batches.modes[rows])
            yield self.batches.normalised(rows)

    def _result(self) -> TrainResult:
        config, tracker = self.config, CostTracker(self.model, self.example)
        apply_density(self.model, tracker, config.budget)
        self._recalibrate()
        uncalibrated = evaluate(self.model, self.test, tracker)
        if config.calibrate and calibrate_threshold(self.model, tracker, self.batches, config.budget) > 0:
            self._recalibrate()
        final = evaluate(self.model, self.test, tracker)
        path = self._write_checkpoint("checkpoint.safetensors", final, tracker, uncalibrated)
        dense = self.position.dense["accuracy"] if self.position.dense else 0.0
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
        if self.team.first:
            checkpoint.save(
                path,
                self.model,
                self.config,
                num_classes=self.dataset.num_classes,
                in_channels=self.dataset.in_channels,
                metadata=metadata,
            )
        self.team.barrier()
        return path

    def _save(self, stage: Stage | None) -> None:
        optimizer = stage.optimizer if stage else None
        if self.team.first:
            path = self.output / "state.safetensors"
            scaler = self.loop.scaler.state_dict()
            state.save(path, self.config, self.position, self.model, optimizer, self.controller.state(), scaler)
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        saved = state.load(self.output / "state.safetensors", self.config)
        self.position = saved.position
        if self.position.stage > 0:
            self._attach()
        self.model.load_state_dict(saved.model)
        self.controller.restore(saved.controller)
        if saved.scaler:
            self.loop.scaler.load_state_dict(saved.scaler)
        self._momentum = saved.momentum


def _note(row: dict[str, Any]) -> str:
    note = f"loss {row['loss']:.3f}  train {100 * row['accuracy']:.1f} %"
    return note + (f"  cost {100 * row['cost']:.1f} %" if "cost" in row else "")
