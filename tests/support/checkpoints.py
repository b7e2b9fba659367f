"""A small gated checkpoint whose gates differ between samples: made, not trained, so that tests start at once."""

import torch

from sanp import checkpoint, data, models
from sanp.gating import gated_layers
from sanp.methods.registry import find, gate, train_settings


def make_checkpoint(path, name="m-cifarnet", method="sanp", width=0.25, seed=0, **options):
    """An untrained network whose batch norms and gates have been spread at random, saved at `path`."""
    torch.manual_seed(seed)
    dataset = data.load("digits")
    backbone = models.build(name, dataset.num_classes, width)
    if "standardise" in find(method).Settings.model_fields:
        # Standardised descriptors of an untrained network divide by variances near zero.
        options = {"standardise": False, **options}
    model = gate(backbone, torch.zeros(1, 3, 32, 32), method, **options)
    with torch.no_grad():
        for layer in gated_layers(model).values():
            for parameter in layer.gate.parameters():
                parameter.add_(0.5 * parameter.abs().mean() * torch.randn_like(parameter))
            last = [p for p in layer.gate.parameters() if p.dim() == 1][-1]
            last.copy_(0.7 * torch.randn_like(last) + 0.1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and module.affine:
                module.weight.uniform_(0.7, 1.5)
                module.bias.uniform_(-0.2, 0.4)
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = 0.5  # a few batches settle the statistics
        model.train()
        for start in range(0, 768, 64):
            model(torch.from_numpy(dataset.train.images[start : start + 64]))
        model.eval()
    config = train_settings(model=name, width=width, method=method, **options)
    checkpoint.save(path, model, config, num_classes=dataset.num_classes)
    return path
