"""The cells of a comparison: one training each, planned and checked before anything starts."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sanp.data import Dataset, Streamed
from sanp.methods.epochs import own_epochs, with_epochs
from sanp.methods.registry import create, find, train_settings
from sanp.settings.compare import CompareSettings
from sanp.settings.train import Option, TrainSettings, Value
from sanp.training import check
from sanp.training.processes import resolve_device
from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import ConfigError

BACKBONES, CELLS = "backbones", "cells"
_BACKBONE = "dense"  # the method that trains a backbone and nothing else
_SAVE_EVERY_S = 20.0


@dataclass(frozen=True)
class Cell:
    """One run. label: the method with its options, as it was asked for; budget: None for one that has none, or that is
    trained for the time `latency`, "0.1ms".

    backbone: folder of the run whose network it starts from, None if it trains from random weights. Folders are
    relative to that of the comparison, which may be moved between two phases.
    """

    label: str
    seed: int
    budget: float | None
    folder: Path
    settings: TrainSettings
    backbone: Path | None = None
    latency: str | None = None

    @property
    def epochs(self) -> int:
        """Epochs that this run trains itself."""
        return own_epochs(self.settings)[0]


@dataclass(frozen=True)
class Matrix:
    """The backbones that have to be trained first, and the cells."""

    backbones: tuple[Cell, ...]
    cells: tuple[Cell, ...]


def plan(settings: CompareSettings) -> Matrix:
    """All cells; ConfigError for a method, an option or a number of epochs that cannot be."""
    cells = [cell for seed in settings.seeds for cell in _of_seed(settings, seed)]
    folders = [cell.folder for cell in cells]
    twice = [str(folder.name) for folder in folders if folders.count(folder) > 1]
    if twice:
        raise ConfigError(f"[compare] methods has {twice[0]} twice, expected each once; remove one")
    needed = {cell.backbone for cell in cells if cell.backbone is not None}
    backbones = [_backbone(settings, seed) for seed in settings.seeds]
    return Matrix(tuple(cell for cell in backbones if cell.folder in needed), tuple(cells))


def check_all(matrix: Matrix, dataset: Dataset | Streamed) -> None:
    """Refuse what a run would refuse at its beginning, before the first one starts; ConfigError names the method."""
    first = matrix.cells[0].seed
    for cell in matrix.cells:
        if cell.seed == first:
            try:
                check(cell.settings, dataset)
            except ConfigError as error:
                raise ConfigError(f"{cell.label}: {error}") from error


def check_devices(cells: Sequence[Cell]) -> None:
    """Refuse cells that are to be trained on a device that this machine does not have; ConfigError names the method."""
    for cell in cells:
        try:
            resolve_device(cell.settings.device)
        except ConfigError as error:
            raise ConfigError(f"{cell.label}: {error}") from error


def parse(entry: str) -> tuple[str, dict[str, Option]]:
    """Method and options of `name:key=value,key=value`; commas that no key follows belong to the value."""
    name, _, rest = placed(entry)[0].partition(":")
    if "," in name:
        raise ConfigError(
            f"[compare] methods has {entry!r}, expected one method; put spaces between methods, not commas"
        )
    options: dict[str, Option] = {}
    for part in re.split(r",(?=\w+=)", rest) if rest else ():
        key, sign, text = part.partition("=")
        if not sign or not key:
            raise ConfigError(f"[compare] methods has {entry!r}, expected name:option=value; correct it")
        options[key] = _value(text)
    return name, options


def placed(entry: str) -> tuple[str, str | None]:
    """An entry without the device that its runs are trained on, and that device: `name:key=value@cuda`."""
    label, sign, device = entry.partition("@")
    return label, device if sign else None


def _of_seed(settings: CompareSettings, seed: int) -> Iterator[Cell]:
    for entry in settings.methods:
        (label, device), (name, options) = placed(entry), parse(entry)
        budgets: tuple[float | None, ...] = settings.budgets if find(name).budgeted else (None,)
        latencies = settings.latencies if find(name).timed else ()
        for budget, latency in [*((one, None) for one in budgets), *((None, one) for one in latencies)]:
            made = with_epochs(_settings(settings, seed, name, options, budget, latency), settings.epochs)
            made = made if device is None else made.model_copy(update={"device": device})
            start = _folder(BACKBONES, f"seed-{seed}") if own_epochs(made)[1] else None
            words = [
                re.sub(r"[^A-Za-z0-9.=-]+", "_", label),
                *([f"{budget:g}"] if budget is not None else []),
                *([latency] if latency is not None else []),
                f"seed-{seed}",
            ]
            yield Cell(label, seed, budget, _folder(CELLS, "-".join(words)), made, start, latency)


def _backbone(settings: CompareSettings, seed: int) -> Cell:
    made = _settings(settings, seed, _BACKBONE, {}, None)
    return Cell("backbone", seed, None, _folder(BACKBONES, f"seed-{seed}"), made)


def _settings(
    settings: CompareSettings,
    seed: int,
    method: str,
    options: dict[str, Option],
    budget: float | None,
    latency: str | None = None,
) -> TrainSettings:
    goal: dict[str, Any] = {"budget": 1.0 if budget is None else budget}
    own = train_settings(
        **settings.training.model_dump(),
        seed=seed,
        method=method,
        **(goal if latency is None else {"budget_latency": latency, "table": settings.table}),
        pretrain_epochs=settings.pretrain_epochs,
        save_every_s=_SAVE_EVERY_S,
        options=options,
    )
    create(own.method, own.options)
    return own


def _folder(kind: str, name: str) -> Path:
    return Path(kind) / name


def _value(text: str) -> Option:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text.startswith("["):
        with contextlib.suppress(ValueError):
            return cast(list[Value], parse_json(text))
    return {"true": True, "false": False}.get(text.lower(), text)
