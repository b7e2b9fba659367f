"""One run: the stages of a method in order, resumable, ending in a checkpoint."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sanp import checkpoint
from sanp.checkpoint.architecture import rebuild
from sanp.cost.latency import LatencyBudget
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.data.objective import ACCURACY, Objective
from sanp.methods.base import Method
from sanp.methods.stage import Context, Length, Stage
from sanp.methods.stages.int8 import int8
from sanp.quantising.network import as_float32, fake_quantise, has_ranges, rounds
from sanp.settings.train import TrainSettings, is_custom
from sanp.training import state
from sanp.training.active_stage import ActiveStage
from sanp.training.arithmetic import differences, keep_threads
from sanp.training.evaluation import Evaluation, evaluate
from sanp.training.interrupt import StopRequest
from sanp.training.latency import check_latency, predicted, refuse_floor
from sanp.training.loop import Loop
from sanp.training.metadata import describe
from sanp.training.processes import Processes
from sanp.training.progress import Journal
from sanp.training.recalibration import recalibrate
from sanp.training.result import PredictedLatency, TrainResult, check_budget
from sanp.training.seeding import seed_for
from sanp.training.source import Source
from sanp_targets.errors import ConfigError, InputError, TrainingInterrupted

_RECALIBRATION_IMAGES = 8192


class Run:
    """State of one call of `train`."""

    def __init__(
        self,
        settings: TrainSettings,
        method: Method,
        network: nn.Module,
        source: Source,
        objective: Objective,
        output: Path,
        together: Processes,
        stop: StopRequest,
        journal: Journal,
        resume: bool,
        latency: LatencyBudget | None = None,
    ) -> None:
        """network: the plain backbone as it begins, on the device; source: data that fit it.

        latency: what the budget of the settings is a share of, None for MACs.
        """
        self.latency = latency
        self.settings, self.method, self.source, self.objective = settings, method, source, objective
        self.output, self.processes, self.journal = output, together, journal
        self.loop = Loop(settings, source, objective, together, stop)
        self.stages = {stage.name: stage for stage in _stages(settings, method)}
        self.saved_at = time.monotonic()
        self._resumed: state.SavedState | None = None
        self.network = network
        # What a checkpoint of a network object needs to be read again; others are built by name.
        self._plain = copy.deepcopy(network).cpu() if is_custom(settings.model) else None
        self.example = torch.zeros(1, *source.facts.shape, device=together.device)
        self.counter = MacCounter if latency is None else latency.counter  # what the budget is counted in
        self.full = CostTracker(self.network, self.example, self.counter).dense
        self.full_macs = CostTracker(self.network, self.example).dense
        if resume:
            self.position = self._restore()
        else:
            self._check_floor()
            first = next(iter(self.stages.values()))
            self.position = state.Position(first.name)
            if settings.trained is not None:
                self._begin_with(settings.trained)
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
        if self.latency is not None:
            refuse_floor(self.latency, floor, self.method.floor_holds)
        elif budget <= floor:
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
            self.counter,
            self.full,
            self.source.samples,
            self._draw,
            self.processes.mean,
            self._backbone,
            self.objective,
            self._measure_norms,
        )

    def _backbone(self) -> nn.Module | None:
        path = self.output / "dense.safetensors"
        return self._read(path) if path.is_file() else None

    def _read(self, path: Path) -> nn.Module:
        return checkpoint.load(path, copy.deepcopy(self._plain)).model.eval()

    def _draw(self, count: int) -> Iterator[Batch]:
        return self.source.draw(seed_for(self.settings.seed, "drawn"), count)

    def _run_stage(self, stage: Stage) -> None:
        position, length = self.position, Length(stage.epochs, self.source.facts.steps)
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
        found = self._read(path).state_dict()
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in self.network.state_dict().items()}:
            raise ConfigError(
                f"{path} does not hold a dense {self.settings.backbone} for "
                f"{self.source.facts.classes} classes; pass the dense.safetensors of a run with the same backbone"
            )
        self.network.load_state_dict(found)

    def _begin_with(self, path: Path) -> None:
        """Take the network of a whole run in place of all stages before the last."""
        found = checkpoint.load(path, copy.deepcopy(self._plain))
        kind = getattr(getattr(found.model, "gating", None), "method", None)
        if kind != self.settings.method:
            raise ConfigError(
                f"{path} holds a network of method {kind or 'dense'} and the method is {self.settings.method}, "
                "expected the checkpoint.safetensors of a run with that method; pass it, or leave --method out"
            )
        shape = tuple(found.example_input.shape)
        if shape != tuple(self.example.shape):
            raise ConfigError(
                f"{path} takes images {list(shape[1:])} and the data have {list(self.example.shape[1:])}, expected "
                "the same; train on data of that size"
            )
        self._check_backbone(path, found)
        self.network = found.model.to(self.example.device)
        accuracy = found.metadata.get("dense_accuracy")
        self.position.dense = None if accuracy is None else Evaluation(accuracy).to_json()

    def _check_backbone(self, path: Path, found: checkpoint.Checkpoint) -> None:
        """ConfigError unless settings and data mean the network of a checkpoint: its cost is a share of theirs."""
        for key in ("model", "width", "model_args"):
            here, there = getattr(self.settings, key), getattr(found.config or self.settings, key)
            if here != there:
                raise ConfigError(
                    f"{path} holds a network of {key} {there!r} and the settings say {here!r}, expected the same; "
                    f"leave {key} out, the run of the checkpoint has it"
                )
        own = self.network.state_dict()
        for name, value in found.model.state_dict().items():
            if name in own and own[name].shape != value.shape:
                raise ConfigError(
                    f"{path} has {name} {list(value.shape)} and {self.settings.backbone} for "
                    f"{self.source.facts.classes} classes has {list(own[name].shape)}, expected the same; train on "
                    "data with those classes"
                )

    def _end_of_backbone(self) -> None:
        """Evaluate and keep the backbone."""
        self._recalibrate()
        dense = self._evaluate(None)
        self.position.dense = dense.to_json()
        self._write_checkpoint("dense.safetensors", dense)

    def _recalibrate(self) -> None:
        self._measure_norms(self.network)

    def _measure_norms(self, network: nn.Module) -> None:
        if rounds(network):  # the statistics are in the weights that were learned with them
            self.processes.alike(network)  # and every process has followed the ranges of its own samples
            return
        recalibrate(network, self.source.samples(_RECALIBRATION_IMAGES))
        self.processes.alike(network)

    def _evaluate(self, tracker: CostTracker | None) -> Evaluation:
        return evaluate(self.network, self.source.validation(), tracker, self.objective, self.processes.gathered)

    def _result(self) -> TrainResult:
        tracker = CostTracker(self.network, self.example, MacCounter, self.full_macs)
        self._recalibrate()
        uncalibrated = self._evaluate(tracker)
        if self.method.finish(self._context()):
            self._recalibrate()
        final = self._evaluate(tracker)
        latency = self._predicted()
        learned = None
        if rounds(self.network):
            ranges = as_float32(self.network)
            learned = {"ranges": ranges, "float32": self._evaluate(tracker).to_json()}
        path = self._write_checkpoint("checkpoint.safetensors", final, tracker, uncalibrated, latency, learned)
        if latency is not None:
            check_latency(path, latency)
        elif self.method.budgeted:
            check_budget(path, final.cost, self.settings.budget)
        dense = Evaluation(**self.position.dense) if self.position.dense else None
        return TrainResult(path, self.network.eval(), dense, final, uncalibrated, tuple(self.position.history), latency)

    def _predicted(self) -> PredictedLatency | None:
        """What the validation samples take on the device that the budget is for."""
        if self.latency is None:
            return None
        return predicted(self.settings, self.latency, self._evaluate(self._context().tracker()))

    def _write_checkpoint(
        self,
        name: str,
        result: Evaluation,
        tracker: CostTracker | None = None,
        uncalibrated: Evaluation | None = None,
        latency: PredictedLatency | None = None,
        learned: dict[str, Any] | None = None,
    ) -> Path:
        facts = self.source.facts
        channels, height, width = facts.shape
        metadata = describe(facts, self.position.dense, result, tracker, uncalibrated, latency, learned)
        path = self.output / name
        if self.processes.first:
            checkpoint.save(
                path,
                self.network,
                self.settings,
                num_classes=facts.classes,
                in_channels=channels,
                image_size=height if height == width else (height, width),
                metadata=metadata,
            )
        self.processes.barrier()
        return path

    def _save(self, active: ActiveStage | None) -> None:
        if self.processes.first:
            path, scaler = self.output / "state.safetensors", self.loop.scaler.state_dict()
            momentum, task = ({}, None) if active is None else (active.momentum(), active.task.state())
            state.save(path, self.settings, self.position, self.network, momentum, task, scaler, self._data())
        self.saved_at = time.monotonic()

    def _data(self) -> dict[str, Any]:
        facts = self.source.facts
        return {"steps": facts.steps, "classes": facts.classes, "shape": list(facts.shape)}

    def _restore(self) -> state.Position:
        path = self.output / "state.safetensors"
        saved = state.load(path, self.settings, self._data())
        if saved.position.stage not in {*self.stages, None}:
            raise InputError(
                f"{path} stands in stage {saved.position.stage}, expected one of {', '.join(self.stages)}; "
                "start in another folder"
            )
        self.network = rebuild(path, self.network, saved.architecture, self.example)
        if has_ranges(saved.model):
            fake_quantise(self.network, self.example)
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


def _stages(settings: TrainSettings, method: Method) -> tuple[Stage, ...]:
    """Those of the method, and the one that learns with rounding; that alone for a network that is trained."""
    own = () if settings.trained is not None else method.stages(settings)
    return (*own, int8(settings, method)) if settings.int8 else own


def _note(row: dict[str, Any]) -> str:
    note = f"loss {row['loss']:.3f}" + (f"  train {100 * row[ACCURACY]:.1f} %" if ACCURACY in row else "")
    return note + (f"  cost {100 * row['cost']:.1f} %" if "cost" in row else "")
