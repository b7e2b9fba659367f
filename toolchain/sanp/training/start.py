"""`train`: check the settings, load the data, open the folder, and run the stages."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch

from sanp import data
from sanp.methods.base import Method
from sanp.methods.registry import create, find
from sanp.settings.train import TrainSettings
from sanp.training.arithmetic import own_threads
from sanp.training.interrupt import StopRequest, stop_on_signal
from sanp.training.processes import processes
from sanp.training.progress import Journal
from sanp.training.result import TrainResult
from sanp.training.run import Run
from sanp_targets.errors import ConfigError


def train(
    settings: TrainSettings,
    *,
    output: Path,
    progress: bool = True,
    resume: bool = False,
    dataset: data.Dataset | None = None,
) -> TrainResult:
    """Train a network into the folder `output` by the method of the settings, and return what it reached.

    Writes checkpoint.safetensors (the final network), dense.safetensors (the pretrained backbone), state.safetensors
    (to resume), metrics.jsonl and, where TensorBoard is installed, tensorboard/. progress: bars on stderr.
    resume: continue from output/state.safetensors, with the threads of the run before unless the settings name a
    number. dataset: that of the settings, where it is
    loaded already. Under torchrun every process calls this; rank 0 writes.

    Raises ConfigError for settings that cannot run, such as a budget below what the method can reach; InputError for
    damaged files or a loss that is not finite; TrainingInterrupted after SIGINT or SIGTERM, when the state has been
    saved; ValidationError, after the checkpoint was written, if the network costs over 3 points more than the budget.
    """
    output = Path(output)
    create(settings.method, settings.options)  # a wrong option is told before data is loaded
    dataset = load_data(settings) if dataset is None else dataset
    method = _method(settings, dataset)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "metrics.jsonl").touch()
    except OSError as error:
        raise ConfigError(f"cannot write into {output} ({error.strerror}); choose another output folder") from error
    with ExitStack() as scope:
        scope.enter_context(torch.random.fork_rng())
        scope.enter_context(own_threads(settings.threads))
        stop, together = scope.enter_context(stop_on_signal()), scope.enter_context(processes(settings.device))
        journal = scope.enter_context(Journal(output, show=progress and together.first, write=together.first))
        return Run(settings, method, dataset, output, together, stop, journal, resume).finish()


def load_data(settings: TrainSettings) -> data.Dataset:
    """The data set of a run; ConfigError for knobs that are settings of their own, and as `sanp.data.load` says."""
    taken = sorted({"name", "root", "image_size"} & set(settings.data_options))
    if taken:
        raise ConfigError(
            f"data_options has the key {taken[0]}, expected only knobs of the data set; use the settings dataset, "
            "data_root and image_size"
        )
    return data.load(settings.dataset, root=settings.data_root, image_size=settings.image_size, **settings.data_options)


def check(settings: TrainSettings, dataset: data.Dataset) -> None:
    """Raise what `train` would raise before its first step: settings, data or a budget that the method cannot use."""
    method, nowhere = _method(settings, dataset), Path()
    with ExitStack() as scope:
        scope.enter_context(torch.random.fork_rng(devices=[]))
        together = scope.enter_context(processes("cpu"))
        journal = scope.enter_context(Journal(nowhere, show=False, write=False))
        Run(settings, method, dataset, nowhere, together, StopRequest(), journal, resume=False)


def _method(settings: TrainSettings, dataset: data.Dataset) -> Method:
    """The method with its options fitted to the data; ConfigError if the data lack what it needs."""
    kind = find(settings.method)
    missing = [name for name in kind.needs if name not in dataset.train.extra]
    if missing:
        raise ConfigError(
            f"method {settings.method} needs {missing[0]} labels, which data set {settings.dataset} does not have; "
            "choose a data set that has them, such as mixcues"
        )
    return create(settings.method, kind.fitted(settings.options, dataset))
