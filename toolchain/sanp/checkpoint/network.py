"""Trained networks on disk: one safetensors file that says how to rebuild the network it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanp import models
from sanp.checkpoint import tensor_file
from sanp.checkpoint.architecture import describe, gates_as_stated, narrowed, rebuild
from sanp.gating.prepare import prepared
from sanp.models.weights import misfits
from sanp.settings.train import CUSTOM, TrainSettings, is_custom
from sanp_runtime.contract import MANIFEST_FILE
from sanp_targets.errors import ConfigError, InputError, SanpError

KIND = "checkpoint"
_VERSION = 2
_OF_ONE_RUN = ("device", "threads", "cuda_graph", "pretrained", "trained", "int8", "weights", "weights_except")


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode on the CPU, and what is known about it.

    model: gated, or the plain backbone for a checkpoint of the pretraining stage. config: how it was trained, None for
    a network that was not trained here. image_size: height of the images, and their width unless image_width is given.
    metadata: JSON, such as accuracy, cost and normalisation constants.
    """

    model: nn.Module
    config: TrainSettings | None
    dataset_name: str
    image_size: int
    in_channels: int = 3
    image_width: int | None = None
    dataset_options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def example_input(self) -> Tensor:
        """A zero image, float32 [1, C, H, W], to trace the network with."""
        return torch.zeros(1, self.in_channels, self.image_size, self.image_width or self.image_size)

    @property
    def has_data(self) -> bool:
        """Whether its data set has a name, by which it can be loaded again."""
        return self.dataset_name != CUSTOM


def save(
    path: str | Path,
    model: nn.Module,
    config: TrainSettings | None = None,
    *,
    num_classes: int | None = 10,
    in_channels: int = 3,
    image_size: int | tuple[int, int] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write `model` atomically. With a config its backbone is rebuilt by `load`; without one the network is "custom".

    A custom network's constructor is the user's own code, which a checkpoint cannot carry without a pickle: `load` then
    needs the constructed network. image_size: that of the config by default, required without one; (height, width)
    where they differ. num_classes: None where the network answers with something else than logits.
    Raises ConfigError if the folder cannot be written or image_size is missing.
    """
    if config is None and image_size is None:
        raise ConfigError("a custom network is saved without image_size, expected its input size; pass image_size=")
    size = config.image_size if config is not None and image_size is None else image_size
    named = config is not None and not is_custom(config.model)
    description = {
        "version": _VERSION,
        "backbone": backbone_of(config, num_classes, in_channels) if config is not None and named else None,
        "num_classes": num_classes,
        **describe(model),
        "image_size": list(size) if isinstance(size, tuple) else size,
        "in_channels": in_channels,
        "config": None if config is None else config.model_dump(mode="json"),
        "metadata": metadata or {},
    }
    tensor_file.write(Path(path), KIND, description, model.state_dict())


def _check_kind(path: Path) -> None:
    """InputError for what is easily taken for a checkpoint: the folder of a run, a model, a bundle."""
    inside = path / "checkpoint.safetensors"
    if inside.is_file():
        raise InputError(f"{path}: is the folder of a run, expected the checkpoint in it; pass {inside}")
    if path.is_dir():
        kind = "a bundle" if (path / MANIFEST_FILE).is_file() else "a folder without a checkpoint"
        raise InputError(f"{path}: is {kind}, expected a file; pass the checkpoint.safetensors of a training run")
    if path.suffix == ".onnx":
        raise InputError(
            f"{path}: is an exported model already, expected a checkpoint; pass the .safetensors that it was made "
            f"from, or run `sanp compile {path} -o model.sanp`"
        )


def load(
    path: str | Path, model: nn.Module | str | None = None, model_args: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Read a checkpoint and rebuild its network.

    A network by import path is imported and built again: read checkpoints from people whose code you would run. model:
    the network itself, required for one that was not named: gated as it was when saved, then weights are loaded in
    place, or plain, and a copy is gated; or the import path of a factory that builds it, whose arguments model_args
    replace if any are given. Raises InputError if the file is damaged, or the factory now builds another network.
    """
    path = Path(path)
    _check_kind(path)
    imported: dict[str, Any] | None = None
    description, tensors = tensor_file.read(path, KIND)
    try:
        check_version(path, KIND, description.get("version"), _VERSION)
        config = None if description["config"] is None else TrainSettings.checked(**description["config"])
        imported, model = _imported(description, model, model_args)
        network = _rebuild(path, {**description, "backbone": imported or description["backbone"]}, model)
        check_fit(network, tensors)
        network.load_state_dict(tensors)
        height, width = _height_and_width(description)
        return Checkpoint(
            model=network.eval(),
            config=config,
            dataset_name=config.dataset if config else CUSTOM,
            image_size=height,
            image_width=width if width != height else None,
            in_channels=description["in_channels"],
            dataset_options=dict(config.data_options) if config else {},
            metadata=description["metadata"],
        )
    except InputError as error:
        if imported is None:
            raise
        raise InputError(
            f"{path} was saved from {imported['name']}, which now builds another network ({error}); restore that code "
            "and its arguments, or name the factory as it was"
        ) from error
    except ConfigError as error:
        if imported is None:
            raise InputError(f"{path} does not fit the network it describes ({error})") from error
        raise InputError(
            f"{path} was saved from {imported['name']}, which cannot be built here ({error}); restore it, or say where "
            "it is now with --model"
        ) from error
    except (SanpError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path} does not fit the network it describes ({reason}); load it with the version that saved it"
        ) from error


def _imported(
    description: Mapping[str, Any], model: nn.Module | str | None, args: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, nn.Module | None]:
    """How to build the network if it has an import path, in the file or given, else None; and the given network."""
    backbone = description["backbone"]
    if isinstance(model, nn.Module):
        return None, model
    if model is not None and not models.is_import_path(model):
        raise ConfigError(f"model is {model!r}, expected the import path package.module:factory; correct it")
    if model is None and not args and (backbone is None or not models.is_import_path(backbone["name"])):
        return None, None
    if backbone is None and model is not None:  # a network that was an object in Python: its factory is told now
        height = _height_and_width(description)[0]
        backbone = {"name": model, "width": 1.0, "in_channels": description["in_channels"], "image_size": height}
        backbone["num_classes"] = description.get("num_classes")
    if backbone is None or not models.is_import_path(backbone["name"]):
        raise ConfigError("the checkpoint's network was not named by import path, expected no model; leave it out")
    given = {"name": model} if model is not None else {}
    return {**backbone, **given, **({"args": dict(args)} if args else {})}, None


def settings_of(path: str | Path) -> dict[str, Any]:
    """The settings that a checkpoint was trained with, as far as another run on its network may share them.

    Where and how long a run works is its own business. Empty for a network that was not trained here. Raises InputError
    like `load`.
    """
    _check_kind(Path(path))
    description, _ = tensor_file.read(Path(path), KIND)
    check_version(Path(path), KIND, description.get("version"), _VERSION)
    found = dict(description.get("config") or {})
    if found.get("budget_latency") is not None:
        found.pop("budget", None)  # a share that was computed from the time
    return {key: value for key, value in found.items() if key not in _OF_ONE_RUN}


def check_fit(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """InputError naming the first tensors that the network has under another shape, not at all, or alone."""
    wrong = misfits(network.state_dict(), tensors, "in the network", 3)
    if wrong:
        raise InputError(f"its weights do not fit: {wrong}")


def check_version(path: Path, kind: str, found: Any, expected: int) -> None:
    """InputError unless a file has the format of this release."""
    if found != expected:
        raise InputError(
            f"{path} has {kind} format {found}, expected {expected}: it was written by another release; "
            "train again, or read it with the release that wrote it"
        )


def _height_and_width(description: Mapping[str, Any]) -> tuple[int, int]:
    size = description["image_size"]
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def backbone_of(config: TrainSettings, num_classes: int | None, in_channels: int) -> dict[str, Any]:
    """What `sanp.models.build` needs to build the network without weights again; plain JSON."""
    own = {"args": dict(config.model_args)} if config.model_args else {}
    return {
        **own,
        "name": config.model,
        "num_classes": num_classes,
        "width": config.width,
        "in_channels": in_channels,
        "image_size": config.image_size,
    }


def _rebuild(path: Path, description: Mapping[str, Any], model: nn.Module | None) -> nn.Module:
    example = torch.zeros(1, description["in_channels"], *_height_and_width(description))
    if description["backbone"] is not None and model is None:
        return rebuild(path, models.build(**description["backbone"]), description, example)
    gating = description["gating"]
    if model is None:
        raise InputError(
            f"{path} holds a custom network, whose class a checkpoint cannot carry; construct the network as before "
            "and call load(path, model=network), or name its factory with --model package.module:factory"
        )
    found = getattr(model, "gating", None)
    if found is None:  # a copy: what is given stays as it is until it is known to fit
        return rebuild(path, prepared(model), description, example)
    if gating is not None and not gates_as_stated(found, gating):
        raise InputError(
            f"{path} holds a network with {len(gating['gated'])} gated layers and the given one has "
            f"{len(found.gated)} or other ones; gate it as before saving, or pass the plain network"
        )
    other = narrowed(model, description)
    if other is not None:
        raise InputError(
            f"{path} holds a network whose layer {other} has another width than the given one; construct it with the "
            "widths of the file before you gate it"
        )
    return model
