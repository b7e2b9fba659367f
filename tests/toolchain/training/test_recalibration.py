"""Batch-norm statistics count every sample once."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sanp.data.batch import Batch
from sanp.training import recalibrate


def recalibrated_on(images, sizes, model):
    """The running statistics after `recalibrate`, and the true ones of what each norm saw, both by name."""
    norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    seen = {name: [] for name in norms}
    hooks = [
        norm.register_forward_pre_hook(lambda _, args, rows=seen[name]: rows.append(args[0].double()))
        for name, norm in norms.items()
    ]
    recalibrate(model, [Batch.example(part) for part in images.split(sizes)])
    for hook in hooks:
        hook.remove()
    true = {}
    for name, parts in seen.items():
        values = torch.cat(parts).transpose(0, 1).flatten(1)
        true[name] = values.mean(1), values.var(1)
    return {name: (norm.running_mean.double(), norm.running_var.double()) for name, norm in norms.items()}, true


def test_recalibration_counts_every_sample_once():
    """258 images in batches of 256 and 2, of which the last two are far from the others."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    images = torch.randn(258, 3, 4, 4) * 3 + 2
    images[256:] += 40
    model.train()
    found, true = recalibrated_on(images, [256, 2], model)
    for name, (mean, variance) in found.items():
        torch.testing.assert_close(mean, true[name][0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(variance, true[name][1], rtol=1e-6, atol=1e-6)
    pixels = images.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(found["0"][0], pixels.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(found["0"][1], pixels.var(1), rtol=1e-6, atol=0)
    assert model[0].momentum == 0.1 and model.training and model[1].training
    assert not model[0]._forward_hooks


def test_recalibration_counts_every_sample_once_in_gates_too(gated):
    model = gated[0]
    found, true = recalibrated_on(torch.randn(70, 3, 16, 16), [64, 6], model)
    assert any(name.endswith("gate.net.norm") for name in found)
    for name, (mean, variance) in found.items():
        torch.testing.assert_close(mean, true[name][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(variance, true[name][1], rtol=1e-5, atol=1e-6)
