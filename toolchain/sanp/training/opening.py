"""From data to their source, and the names of what was given as objects."""

from __future__ import annotations

from typing import Any

from torch import nn

from sanp.data import Dataset, Streamed
from sanp.data.objective import Objective
from sanp.data.own import TrainingData
from sanp.settings.train import CUSTOM, TrainSettings
from sanp.training.arrays import ArraySource
from sanp.training.loaders import LoaderSource
from sanp.training.processes import Processes
from sanp.training.source import Facts, Source
from sanp.training.streams import StreamSource
from sanp_targets.errors import ConfigError

RunData = Dataset | Streamed | TrainingData


def open_source(dataset: RunData, settings: TrainSettings, together: Processes, objective: Objective) -> Source:
    """The source of any kind of data."""
    if isinstance(dataset, TrainingData):
        return LoaderSource(dataset, together, objective.classes)
    if not objective.classes:
        raise ConfigError(
            f"a loss of your own was given for data set {dataset.name}, whose labels are classes, expected the metric "
            'too; pass metric="accuracy"'
        )
    kind = StreamSource if isinstance(dataset, Streamed) else ArraySource
    return kind(dataset, settings, together)  # type: ignore[arg-type]


def as_data(given: Any) -> RunData:
    """Data as a user may give them: `TrainingData`, the pair (train, validation), or what `sanp.data.load` returns."""
    if isinstance(given, (Dataset, Streamed, TrainingData)):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return TrainingData(*given)
    raise ConfigError(
        f"data is a {type(given).__name__}, expected the pair (train, validation), a sanp.TrainingData or the name "
        "of a data set; pass both parts"
    )


def named(settings: TrainSettings, network: nn.Module | None, dataset: RunData, facts: Facts) -> TrainSettings:
    """Settings that say what was given as an object and what the images are."""
    changes: dict[str, Any] = {}
    if network is not None:
        changes["model"] = f"{CUSTOM}:{type(network).__name__}"
    if isinstance(dataset, TrainingData):
        changes.update(dataset=CUSTOM, data_root=None, data_options={}, image_size=facts.shape[1])
    return settings.model_copy(update=changes)
