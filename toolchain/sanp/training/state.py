"""Where a run stands: position, network, momentum and task, saved so that it continues bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sanp.checkpoint import tensor_file
from sanp.checkpoint.architecture import describe
from sanp.checkpoint.network import check_version
from sanp.settings.train import TrainSettings
from sanp.training.arithmetic import arithmetic
from sanp_targets.errors import ConfigError, InputError

KIND = "training-state"
_VERSION = 2


@dataclass
class Position:
    """The next step to take, and what is known so far.

    stage: its name, None after the last one. epoch: of the stage. step: of the epoch. stage_step: of the stage.
    """

    stage: str | None
    epoch: int = 0
    step: int = 0
    stage_step: int = 0
    dense: dict[str, Any] | None = None  # evaluation of the pretrained backbone
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # running sums of the unfinished epoch

    def enter(self, stage: str | None) -> None:
        """Move to the beginning of a stage."""
        self.stage, self.epoch, self.step, self.stage_step, self.sums = stage, 0, 0, 0, {}

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Note an epoch's metrics and move to the next."""
        self.history.append(row)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}


@dataclass(frozen=True)
class SavedState:
    """Content of a state file.

    architecture: what `sanp.checkpoint.architecture.rebuild` needs. task: None at the beginning of a stage. arithmetic:
    see `sanp.training.arithmetic`; empty in states of older releases.
    """

    position: Position
    architecture: dict[str, Any]
    task: dict[str, Any] | None
    scaler: dict[str, Any]
    model: dict[str, Tensor]
    momentum: dict[str, Tensor]
    arithmetic: dict[str, Any] = field(default_factory=dict)


def save(
    path: Path,
    settings: TrainSettings,
    position: Position,
    network: nn.Module,
    momentum: Mapping[str, Tensor],
    task: dict[str, Any] | None,
    scaler: dict[str, Any],
    data: Mapping[str, Any],
) -> None:
    """Write the state atomically. data: what the data set was, to notice another one.

    No random state: every step seeds itself from its position (see `seeding`).
    """
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    tensors.update({f"momentum.{name}": value for name, value in momentum.items()})
    description = {
        "version": _VERSION,
        "settings": settings.model_dump(mode="json"),
        "position": position.__dict__,
        "architecture": describe(network),
        "task": task,
        "scaler": scaler,
        "data": dict(data),
        "arithmetic": arithmetic(),
    }
    tensor_file.write(path, KIND, description, tensors)


def load(path: Path, settings: TrainSettings, data: Mapping[str, Any]) -> SavedState:
    """Read a state; ConfigError if it belongs to other settings or data, InputError if it is damaged or too old."""
    description, tensors = tensor_file.read(path, KIND)
    check_version(path, KIND, description.get("version"), _VERSION)
    now, then = (_flat(values) for values in (settings.model_dump(mode="json"), description["settings"]))
    compared = {*now, *then} - {"device", "save_every_s", "cuda_graph", "threads"}
    changed = sorted(key for key in compared if now.get(key) != then.get(key))
    if changed:
        key = changed[0]
        raise ConfigError(
            f"{path} was trained with {key} = {then.get(key)!r} and the configuration says {now.get(key)!r}; "
            "resume with the same configuration or start in another folder"
        )
    for key, then in description.get("data", {}).items():
        if data[key] != then:
            raise ConfigError(
                f"{path} was trained on data with {key} = {then} and now it is {data[key]}; resume with the same data "
                "or start in another folder"
            )
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "momentum": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    try:
        position = Position(**description["position"])
        return SavedState(
            position,
            description["architecture"],
            description["task"],
            description["scaler"],
            **parts,
            arithmetic=description.get("arithmetic", {}),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} lacks a part of its state ({error}); start the run again") from error


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the options of the method side by side."""
    return {**{key: value for key, value in settings.items() if key != "options"}, **settings["options"]}
