"""`train`: check the settings, open data and network, open the folder, and run the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import nn

from sanp import data
from sanp.data.objective import Loss, Metric, Objective
from sanp.methods.base import Method
from sanp.methods.registry import create, find
from sanp.settings.train import TrainSettings
from sanp.training.arithmetic import own_threads
from sanp.training.backbone import begin, classes_of
from sanp.training.interrupt import StopRequest, stop_on_signal
from sanp.training.latency import latency_budget, warn_of_verdict, with_share
from sanp.training.opening import RunData, named, open_source
from sanp.training.processes import Processes, processes
from sanp.training.progress import Journal
from sanp.training.result import TrainResult
from sanp.training.run import Run
from sanp_targets.errors import ConfigError


def train(
    settings: TrainSettings,
    *,
    output: Path,
    network: nn.Module | None = None,
    dataset: RunData | None = None,
    loss: Loss | None = None,
    metric: Metric | Mapping[str, Metric] | None = None,
    progress: bool = True,
    resume: bool = False,
) -> TrainResult:
    """Train a network into the folder `output` by the method of the settings, and return what it reached.

    network, dataset: objects in place of those that the settings name; the network stays as it is, a copy is trained.
    loss, metric: see `Objective.of`. Writes checkpoint.safetensors (the final network), dense.safetensors (the
    pretrained backbone), state.safetensors (to resume), metrics.jsonl and, where TensorBoard is installed,
    tensorboard/. progress: bars on stderr. resume: continue from output/state.safetensors, with the threads of the run
    before unless the settings name a number. Under torchrun every process calls this; rank 0 writes.

    Raises ConfigError for settings that cannot run, such as a budget below what the method can reach, or a latency
    table of another network; InputError for damaged files, batches that do not fit or a loss that is not finite;
    TrainingInterrupted after SIGINT or SIGTERM, when the state has been saved; ValidationError, after the checkpoint
    was written, if the network costs over 3 points more than the budget.
    """
    output = Path(output)
    objective = Objective.of(loss, metric)
    create(settings.method, settings.options)  # a wrong option is told before data is loaded, as is a wrong table
    warn_of_verdict(settings, latency_budget(settings))
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
        with _opened(settings, method, network, dataset, objective, output, together, stop, journal, resume) as run:
            return run.finish()


def load_data(settings: TrainSettings) -> data.Dataset | data.Streamed:
    """The data set of a run; ConfigError for knobs that are settings of their own, and as `sanp.data.load` says."""
    taken = sorted({"name", "root", "image_size"} & set(settings.data_options))
    if taken:
        raise ConfigError(
            f"data_options has the key {taken[0]}, expected only knobs of the data set; use the settings dataset, "
            "data_root and image_size"
        )
    return data.load(settings.dataset, root=settings.data_root, image_size=settings.image_size, **settings.data_options)


def check(settings: TrainSettings, dataset: RunData) -> None:
    """Raise what `train` would raise before its first step: settings, data or a budget that the method cannot use."""
    method, nowhere = _method(settings, dataset), Path()
    with ExitStack() as scope:
        scope.enter_context(torch.random.fork_rng(devices=[]))
        together = scope.enter_context(processes("cpu"))
        journal = scope.enter_context(Journal(nowhere, show=False, write=False))
        with _opened(
            settings, method, None, dataset, Objective(), nowhere, together, StopRequest(), journal, resume=False
        ):
            pass


@contextmanager
def _opened(
    settings: TrainSettings,
    method: Method,
    given: nn.Module | None,
    dataset: RunData,
    objective: Objective,
    output: Path,
    together: Processes,
    stop: StopRequest,
    journal: Journal,
    resume: bool,
) -> Iterator[Run]:
    """A run with its source, which is closed afterwards."""
    latency = latency_budget(settings)
    settings = with_share(settings, latency)
    source = open_source(dataset, settings, together, objective)
    try:
        settings = named(settings, given, dataset, source.facts)
        network = begin(settings, given, source.facts, together.device)
        source.fit(classes_of(network, settings, source.facts, objective))
        yield Run(settings, method, network, source, objective, output, together, stop, journal, resume, latency)
    finally:
        source.close()


def _method(settings: TrainSettings, dataset: RunData) -> Method:
    """The method with its options fitted to the data; ConfigError if the data lack what it needs."""
    kind = find(settings.method)
    if settings.int8 and not kind.bytes:
        raise ConfigError(
            f"method {settings.method} has no channel gates, expected one that has: int8 trains for bundles of `sanp "
            "compile --int8`, which such networks have; leave --int8 out, or choose another method"
        )
    extra = dataset.train.extra if isinstance(dataset, data.Dataset) else {}
    missing = [name for name in kind.needs if name not in extra]
    if missing:
        raise ConfigError(
            f"method {settings.method} needs {missing[0]} labels, which data set {settings.dataset} does not have; "
            "choose a data set that has them, such as mixcues"
        )
    options = kind.fitted(settings.options, dataset) if isinstance(dataset, data.Dataset) else settings.options
    return create(settings.method, options)
