"""A small checkpoint of a network that has lost channels and has no gates: made, not trained."""

import torch

from sanp import checkpoint, data, models
from sanp.methods.registry import train_settings
from sanp.pruning.surgery import Keep, narrow

CHAINS = {
    "m-cifarnet": [("conv2.conv", "conv2.norm", "conv3.conv"), ("conv5.conv", "conv5.norm", "conv6.conv")],
    "resnet-18": [("layer2.0.conv1", "layer2.0.bn1", "layer2.0.conv2")],
}


def make_plain(path, name="m-cifarnet", width=0.25, keep=0.5, seed=0):
    """Every chain of CHAINS loses channels at random; dense.safetensors beside `path` is the network before."""
    torch.manual_seed(seed)
    dataset = data.load("digits")
    model = models.build(name, dataset.num_classes, width)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.5)
                module.bias.uniform_(-0.2, 0.4)
                module.momentum = 0.5
        model.train()
        for start in range(0, 768, 64):
            model(torch.from_numpy(dataset.train.images[start : start + 64]))
    config = train_settings(model=name, width=width)
    checkpoint.save(path.with_name("dense.safetensors"), model.eval(), config, num_classes=dataset.num_classes)
    for conv, norm, reader in CHAINS[name]:
        channels = model.get_submodule(conv).out_channels
        left = torch.randperm(channels)[: int(keep * channels)].sort().values
        narrow(model, {conv: Keep(left), norm: Keep(left), reader: Keep(inputs=left)}, {})
    checkpoint.save(path, model.eval(), config, num_classes=dataset.num_classes)
    return path
