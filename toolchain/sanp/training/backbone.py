"""The network that a run begins with: built by name or copied from an object, and asked what it answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sanp import models
from sanp.data.batch import tensors
from sanp.data.objective import Objective
from sanp.gating.prepare import prepared
from sanp.settings.train import TrainSettings
from sanp.tracing.trace import evaluation
from sanp.training.source import Facts
from sanp_targets.errors import ConfigError


def begin(settings: TrainSettings, given: nn.Module | None, facts: Facts, device: torch.device) -> nn.Module:
    """The plain backbone on its device, with the weights of the settings; a copy of `given` where there is one.

    Raises ConfigError and InputError as `sanp.models.build_for` and `sanp.gating.prepare.prepared` do.
    """
    torch.manual_seed(settings.seed)
    if given is None:
        network = models.build_for(settings, facts.classes, facts.shape[0])
    else:
        network = prepared(given).cpu()
        if getattr(network, "gating", None) is not None:
            raise ConfigError(
                f"{type(given).__name__} has gates already, expected the plain network: training attaches them; pass "
                "the network that was gated"
            )
        if settings.weights is not None:
            models.load_weights(network, settings.weights, settings.weights_except)
    return network.requires_grad_(True).to(device)


def classes_of(network: nn.Module, settings: TrainSettings, facts: Facts, objective: Objective) -> int | None:
    """Number of logits, None where labels are no classes.

    Raises ConfigError unless the network takes two images of the data, and answers with one row of logits for each
    where labels are classes.
    """
    device = next(iter(network.parameters())).device
    images = torch.zeros(2, *facts.shape, device=device)
    try:
        with evaluation(network):
            found: Any = network(images)
    except Exception as error:
        raise ConfigError(
            f"{settings.backbone} does not take images {facts.shape} ({str(error).splitlines()[0]}), "
            "expected those of the data set; correct image_size or model_args"
        ) from error
    if not objective.classes:
        if not list(tensors(found)):
            raise ConfigError(
                f"{settings.backbone} answers with {type(found).__name__}, expected tensors, or tuples, lists and "
                "dictionaries of them; return those"
            )
        return None
    right = isinstance(found, Tensor) and found.dim() == 2 and len(found) == 2
    if not right or (facts.classes is not None and found.shape[1] != facts.classes):
        shown = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        logits = f"(2, {facts.classes})" if facts.classes is not None else "(2, classes)"
        known = f": the data set has {facts.classes} classes" if facts.classes is not None else ""
        raise ConfigError(
            f"{settings.backbone} answers 2 images with {shown}, expected logits {logits}{known}; correct model_args, "
            "or pass loss= for other outputs"
        )
    return int(found.shape[1])
