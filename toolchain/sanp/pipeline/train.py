"""`sanp train` and `sanp.train`: a training run into a folder that holds no other one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sanp.checkpoint.network import settings_of
from sanp.data.objective import Loss, Metric
from sanp.methods.registry import train_settings
from sanp.pipeline.outputs import check_outputs
from sanp.settings.train import TrainSettings
from sanp.training import TrainResult, as_data
from sanp.training import train as run
from sanp_targets.errors import ConfigError

# What an earlier run leaves; the journal alone is none, a run that was stopped at once has nothing else.
_RESULTS = ("checkpoint.safetensors", "dense.safetensors", "state.safetensors")


def chosen_settings(**values: Any) -> TrainSettings:
    """Settings of every run and options of the method, side by side; with `trained` those of that run are the defaults.

    Raises what `train_settings` and `sanp.checkpoint.load` raise.
    """
    before = settings_of(values["trained"]) if values.get("trained") is not None else {}
    if values.get("method") not in (None, before.get("method")):
        before.pop("options", None)  # another method has options of its own
    if values.get("budget") is not None or values.get("budget_latency") is not None:
        for key in ("budget", "budget_latency", "table"):  # one goal takes the place of the other
            before.pop(key, None)
    return train_settings(**{**before, **values, "options": {**before.get("options", {}), **values.get("options", {})}})


def train(
    network: nn.Module | str | None = None,
    data: Any = None,
    settings: TrainSettings | None = None,
    *,
    output: str | Path,
    loss: Loss | None = None,
    metric: Metric | Mapping[str, Metric] | None = None,
    progress: bool = True,
    resume: bool = False,
    replace: bool = False,
    **keywords: Any,
) -> TrainResult:
    """Train a network on data by the method of the settings, into a folder without an earlier run.

    network: a torch.nn.Module, which stays as it is (a copy is trained), or the name of a backbone or
    "package.module:factory"; by default that of the settings. data: the pair (train, validation) of iterables of
    batches (images, labels), a `sanp.TrainingData`, what `sanp.data.load` returns, or the name of a data set; by
    default that of the settings. Settings are an object, or common settings and options of the method as
    keywords; with `trained=` and `int8=True` those of the run of that checkpoint are the defaults.

    loss(outputs, labels): scalar tensor, cross-entropy by default. metric: "accuracy", a callable of outputs and labels
    that returns a number, an object with reset, update and compute, or several of them by name. With a loss and no
    metric the validation loss is what is reported. Raises what `sanp.training.train` raises, and ConfigError if the
    folder holds a run and neither `resume` nor `replace` (begin again) was asked for, or if it lies in a bundle.
    """
    if settings is not None and keywords:
        raise ConfigError(
            f"settings and the keyword {next(iter(keywords))} were both given, expected one of them; "
            "put the keyword into the settings"
        )
    chosen = chosen_settings(**keywords) if settings is None else settings
    if isinstance(network, str):
        chosen = chosen.model_copy(update={"model": network})
    elif network is not None and not isinstance(network, nn.Module):
        raise ConfigError(
            f"network is a {type(network).__name__}, expected a torch.nn.Module or the name of one; pass settings "
            "as settings="
        )
    if isinstance(data, str):
        chosen = chosen.model_copy(update={"dataset": data})
    check_outputs([Path(output) / name for name in _RESULTS], resume or replace)
    return run(
        chosen,
        output=Path(output),
        network=network if isinstance(network, nn.Module) else None,
        dataset=None if data is None or isinstance(data, str) else as_data(data),
        loss=loss,
        metric=metric,
        progress=progress,
        resume=resume,
    )
