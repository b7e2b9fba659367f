"""`sanp validate`: a bundle against the PyTorch network it came from, at three levels.

PyTorch runs the test split here; `sanp_runtime.validate.compare` then compares, as the self-test of a device does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sanp import checkpoint
from sanp.pipeline.export import test_samples
from sanp.pipeline.folded_network import fold_answers, fold_network
from sanp.pipeline.on_board import check, validate_there
from sanp.pipeline.reference import pytorch_answers, with_sizes
from sanp.pruning.layer_width import width_of
from sanp.remote.board import Board, Log
from sanp.settings.validate import ValidateSettings
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.network.outputs import Output, fits, in_words
from sanp_runtime.validate import Validation
from sanp_runtime.validate import compare as compare_bundle
from sanp_targets.errors import ConfigError, InputError


def validate(
    bundle: str | Path, source: str | Path, settings: ValidateSettings | None = None, **keywords: Any
) -> Validation:
    """Compare a bundle with the checkpoint `source` on the test split of its data set.

    Settings are an object or its fields as keywords. Raises InputError for damaged files or a checkpoint of another
    network, AccelerationError if a gated layer does not run in our kernel; a level that fails is reported, not raised.
    """
    choice = ValidateSettings.chosen(settings, keywords)
    if choice.remote.on_board:
        raise ConfigError(
            f"host is {choice.remote.host} in sanp.validate, which runs here, expected none; call "
            "sanp.validate_on_board with the same arguments, whose result is the JSON that comes back"
        )
    opened = open_bundle(bundle)
    loaded = checkpoint.load(source, choice.model, choice.model_args)
    images, labels = test_samples(loaded, choice.limit, choice.data_root)
    return compare(opened, loaded.model, images, labels, choice)


def validate_on_board(
    bundle: str | Path,
    source: str | Path,
    settings: ValidateSettings | None = None,
    log: Log = lambda text: None,
    **keywords: Any,
) -> dict[str, Any]:
    """`validate` on the board that the settings name, as its JSON; PyTorch runs here.

    Settings are an object or its fields as keywords, `host` among them. Raises what `validate` does, TargetError for a
    board that cannot be used, ConfigError without a host and for a metric: the board has no module of the user's.
    """
    settings = ValidateSettings.chosen(settings, keywords)
    if not settings.remote.on_board:
        raise ConfigError(
            "sanp.validate_on_board was given no host, expected the name of a board; set it, or call sanp.validate"
        )
    if settings.metric is not None:
        raise ConfigError(
            f"--metric {settings.metric} with --host, expected one of them: the board has no module of yours; leave "
            "one out"
        )
    opened = open_bundle(bundle)
    with Board(settings.remote, log) as board:  # first: it may be out of reach, and PyTorch takes its time
        check(board, opened.manifest)
        loaded = checkpoint.load(source, settings.model, settings.model_args)
        images, labels = test_samples(loaded, settings.limit, settings.data_root)
        return validate_there(board, opened, _reference(opened, loaded.model, images, labels), settings)


def compare(
    bundle: Bundle, model: nn.Module, images: np.ndarray, labels: np.ndarray | None, settings: ValidateSettings
) -> Validation:
    """`validate` for a network in memory; images float32 [N, C, H, W] normalised, labels as in `Reference`.

    A folded bundle is compared with the network whose gates do the same: removed channels closed, constant gates fixed.
    """
    reference = _reference(bundle, model, images, labels)
    options = EngineOptions(threads=settings.threads)
    limits = {"relative": settings.relative, "max_drop": settings.max_drop}
    result = compare_bundle(bundle, reference, options, metric=settings.metric, **limits)  # type: ignore[arg-type]
    if result.proof is not None:
        result.proof.require()
    return result


def _reference(bundle: Bundle, model: nn.Module, images: np.ndarray, labels: np.ndarray | None) -> Reference:
    """PyTorch's answers; InputError if the network is not that of the bundle."""
    folded, sizes = bundle.manifest.fold, [table.size for table in bundle.manifest.sizes]
    if folded:
        network = fold_network(model, folded, str(bundle.path))
        reference = fold_answers(with_sizes(pytorch_answers(network, images, labels), network, sizes), folded)
    else:
        reference = with_sizes(pytorch_answers(model, images, labels), model, sizes)
    _check_same_network(bundle, model, reference)
    return reference


def _other_width(bundle: Bundle, model: nn.Module) -> str | None:
    """The first layer without a gate whose channels are not those of the bundle; layers of other names are passed."""
    modules = dict(model.named_modules())
    for row in bundle.manifest.layers:
        width = width_of(modules[row.name]) if row.name in modules else None
        if width is not None and width != (row.c_in, row.c_out):
            return row.name
    return None


def _check_same_network(bundle: Bundle, model: nn.Module, reference: Reference) -> None:
    gated, shape = set(bundle.manifest.gated), tuple(bundle.manifest.input["shape"])
    widths = {name: scale.shape[1] for name, scale in reference.scales.items()}
    if gated != set(widths) or any(bundle.manifest.layer(name).c_out != widths[name] for name in gated):
        raise InputError(
            f"the checkpoint has {len(widths)} gated layers, {bundle.path} has {len(gated)}, or widths differ; "
            "validate a bundle with the checkpoint it was exported from"
        )
    other = None if bundle.manifest.fold else _other_width(bundle, model)
    if other is not None:
        raise InputError(
            f"layer {other} of the checkpoint has another width than in {bundle.path}; validate a bundle with the "
            "checkpoint it was exported from"
        )
    found = tuple(Output(name, value.shape[1:]) for name, value in reference.outputs.items())
    if reference.x.shape[1:] != shape or not fits(found, bundle.manifest.outputs):
        raise InputError(
            f"the checkpoint maps {reference.x.shape[1:]} to {in_words(found)}, {bundle.path} maps {shape} to "
            f"{in_words(bundle.manifest.outputs)}; validate a bundle with the checkpoint it was exported from"
        )
