"""Whole full-size networks through the product: gate, export, compile, profile, with the gates inside the time.

    python benchmarks/end_to_end.py                       # the three backbones, 20 s each
    python benchmarks/end_to_end.py --models resnet-18 --json out.json

The networks are not trained: batch norms are settled on digits and gates drawn at random, with a bias that closes about
half of the channels. Speed depends on which channels are open, not on what they mean; accuracy is not the subject here.
Everything else is what a user gets: `sanp.gate`, `sanp.export`, `sanp.compile` with its proof, `sanp profile`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from torch import nn

import sanp
from sanp import data, models
from sanp.gating import gated_layers
from sanp.pipeline.profile import headline, profile_bundle
from sanp.settings.profile import ProfileSettings

SAMPLES = 32


def untrained(name: str, split: data.Split) -> nn.Module:
    """A gated backbone at full width whose statistics fit the data and whose gates differ by channel and sample."""
    torch.manual_seed(0)
    network = sanp.gate(models.build(name), torch.zeros(1, 3, 32, 32), standardise=False)
    with torch.no_grad():
        for layer in gated_layers(network).values():
            layer.gate.net.fc2.weight.mul_(3.0)
            layer.gate.net.fc2.bias.normal_(mean=0.1, std=0.7)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.5  # a few batches settle the statistics
        network.train()
        for start in range(0, 512, 64):
            network(torch.from_numpy(split.images[start : start + 64]))
    return network.eval()


def measure(name: str, dataset: data.Dataset, duration: float) -> dict:
    """The profile of one backbone, without the raw values."""
    with tempfile.TemporaryDirectory() as folder:
        model, bundle = Path(folder) / "net.onnx", Path(folder) / "net.sanp"
        images, labels = dataset.test.images[:SAMPLES], dataset.test.labels[:SAMPLES]
        example = torch.from_numpy(images[:2])
        network = untrained(name, dataset.train)
        sanp.export(network, model, example_input=example, images=images, labels=labels)
        sanp.compile(model, bundle)
        result = profile_bundle(bundle, ProfileSettings(duration=duration))
    print(f"{name}: {headline(result)} {result['validity']['verdict']}", flush=True)
    for engine in result["variants"].values():
        del engine["latency"]["values"]
    kept = ("variants", "macs", "ratios", "validity", "device_name", "versions", "library", "settings")
    return {"model": name, **{key: result[key] for key in kept}}


def main() -> None:
    """Parse the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(models.NAMES), choices=models.NAMES)
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of measurement per network")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    dataset = data.load("digits")
    rows = [measure(name, dataset, options.duration) for name in options.models]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
