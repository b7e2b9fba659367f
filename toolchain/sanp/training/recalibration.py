"""Batch-norm statistics for evaluation: measured again with hard, noise-free gates."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all running statistics by their mean over `batches` (float32 [n, C, H, W], n at least 2).

    While training, batch norms see noisy, half soft gates; in evaluation the gates are hard. The old statistics cost a
    pilot run 7 points of accuracy. Only batch norms are in training mode here; weights do not change.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    training = {module: module.training for module in model.modules()}
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
        norm.train()
    try:
        with torch.no_grad():
            for images in batches:
                model(images)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for module, mode in training.items():
            module.training = mode
