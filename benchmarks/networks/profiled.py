"""Whole full-size networks through the product: gate, export, compile, profile, with the gates inside the time.

    python -m benchmarks.networks.profiled                       # the three backbones, 20 s each
    python -m benchmarks.networks.profiled --models resnet-18 --json out.json

The networks are those of untrained.py. Everything else is what a user gets: `sanp.gate`, `sanp.export`, `sanp.compile`
with its proof, `sanp profile`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import sanp
from benchmarks.command_line import json_parser, write_json
from benchmarks.networks.untrained import export
from sanp import data, models
from sanp.pipeline.profile import headline, profile_bundle
from sanp.settings.profile import ProfileSettings


def measure(name: str, dataset: data.Dataset, duration: float) -> dict:
    """The profile of one backbone, without the raw values."""
    with tempfile.TemporaryDirectory() as folder:
        model, bundle = Path(folder) / "net.onnx", Path(folder) / "net.sanp"
        export(name, model, dataset)
        sanp.compile(model, bundle)
        result = profile_bundle(bundle, ProfileSettings(duration=duration))
    print(f"{name}: {headline(result)} {result['validity']['verdict']}", flush=True)
    for engine in result["variants"].values():
        del engine["latency"]["values"]
    kept = ("variants", "macs", "ratios", "validity", "device_name", "versions", "library", "settings")
    return {"model": name, **{key: result[key] for key in kept}}


def main() -> None:
    """Parse the arguments, measure, write."""
    made = json_parser(__doc__)
    made.add_argument("--models", nargs="+", default=list(models.NAMES), choices=models.NAMES)
    made.add_argument("--duration", type=float, default=20.0, help="seconds of measurement per network")
    options = made.parse_args()
    dataset = data.load("digits")
    write_json(options.json, [measure(name, dataset, options.duration) for name in options.models])


if __name__ == "__main__":
    main()
