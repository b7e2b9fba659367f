"""Where a run stands: position, weights, momentum and controller, saved so that it continues bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanp.checkpoint import tensor_file
from sanp.training.config import TrainConfig
from sanp_targets.errors import ConfigError

KIND = "training-state"


@dataclass
class Position:
    """The next step to take, and what is known so far."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    dense: dict[str, Any] | None = None  # evaluation of the pretrained backbone
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # running sums of the unfinished epoch


@dataclass(frozen=True)
class SavedState:
    """Content of a state file."""

    position: Position
    controller: dict[str, Any]
    scaler: dict[str, Any]
    model: dict[str, Tensor]
    momentum: dict[str, Tensor]


def save(
    path: Path,
    config: TrainConfig,
    position: Position,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    controller: dict[str, Any],
    scaler: dict[str, Any],
) -> None:
    """Write the state atomically. No random state: every step seeds itself from its position (see `batches`)."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if optimizer is not None:
        for index, parameter in enumerate(_parameters(optimizer)):
            buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{index}"] = buffer
    description = {
        "config": config.model_dump(mode="json"),
        "position": position.__dict__,
        "controller": controller,
        "scaler": scaler,
    }
    tensor_file.write(path, KIND, description, tensors)


def load(path: Path, config: TrainConfig) -> SavedState:
    """Read a state; ConfigError if it belongs to another configuration, InputError if it is damaged."""
    description, tensors = tensor_file.read(path, KIND)
    now, then = config.model_dump(mode="json"), description["config"]
    changed = sorted(key for key in {*now, *then} - {"device", "save_every_s"} if now.get(key) != then.get(key))
    if changed:
        key = changed[0]
        raise ConfigError(
            f"{path} was trained with {key} = {then.get(key)!r} and the configuration says {now.get(key)!r}; "
            "resume with the same configuration or start in another folder"
        )
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "momentum": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    position = Position(**description["position"])
    return SavedState(position, description["controller"], description["scaler"], parts["model"], parts["momentum"])


def restore_momentum(optimizer: torch.optim.Optimizer, momentum: dict[str, Tensor]) -> None:
    """Put saved momentum buffers back, on each parameter's device."""
    for index, parameter in enumerate(_parameters(optimizer)):
        if str(index) in momentum:
            optimizer.state[parameter]["momentum_buffer"] = momentum[str(index)].to(parameter.device)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
