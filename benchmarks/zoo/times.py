"""Networks of the edge as their libraries build them, gated, exported and compiled: how much time do gates save?

    python -m benchmarks.zoo.times --json times.json              # all; needs `pip install 'sanp-toolchain[zoo]'`
    python -m benchmarks.zoo.times --json times.json --only mnas  # some
    python -m benchmarks.zoo.times --table times.json             # the table of a result file, in Markdown

Random weights and gates: about half of the channels of a gate are open, a tenth of them for some images only. Gates
are computed. Linear bottlenecks have none, so that inverted residual blocks run as one node. One thread, one image,
dense, all open and gated take turns, and what is timed is a bound call of the bundle. Before, its levels L0 to L2 pass.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import sanp
from benchmarks.command_line import at_least_two, parser, write_json
from benchmarks.machine import describe
from benchmarks.timing import interleaved_seconds
from benchmarks.zoo.catalog import Entry
from benchmarks.zoo.journey import random_gates, settle
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.validate import self_test

SAMPLES, OPEN, TURN_SECONDS = 4, 0.5, 20e-3
VARIANTS = ("dense", "open", "gated")
_TIMM = """mobilenetv2_100 tf_efficientnet_lite0 mnasnet_100 fbnetc_100 mobilenetv3_large_100 ghostnet_100 densenet121
    resnet50 regnetx_002 resnext26ts resnet18 seresnet18"""
_PYTORCHCV = "mobilenet_w1 proxylessnas_gpu sqnxt23_w1 shufflenetv2_w1"
ENTRIES = tuple(
    Entry(library, name, 96)
    for library, names in (("timm", _TIMM), ("pytorchcv", _PYTORCHCV))
    for name in names.split()
)


def measure(entry: Entry, rounds: int) -> dict[str, Any]:
    """One network: gates, fused blocks, the MACs that the timed image needs, and milliseconds of each variant."""
    torch.manual_seed(0)
    network = entry.build()
    images = torch.randn(SAMPLES, 3, entry.size, entry.size)
    settle(network, images)
    gated = sanp.gate(network, images[:1], layers="inner")
    random_gates(gated, OPEN)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sanp.export(gated.eval(), folder / "net.onnx", example_input=images[:1], images=images.numpy())
        sanp.compile(folder / "net.onnx", folder / "net.sanp")
        bundle = open_bundle(folder / "net.sanp")
        failed = [line for line in self_test(bundle).lines() if "FAIL" in line]
        if failed:
            raise SystemExit(f"{entry.key}: {'; '.join(failed)}")
        return {"size": entry.size, "gates": len(bundle.manifest.gated), **_timed(bundle, images[:1].numpy(), rounds)}


def _timed(bundle: Bundle, image: Any, rounds: int) -> dict[str, Any]:
    engines = [load_bundle(bundle, variant, EngineOptions()) for variant in VARIANTS]
    times = interleaved_seconds([engine.bind(image) for engine in engines], rounds, TURN_SECONDS)
    whole = dense_macs(bundle.manifest.layers)
    kept = float(engines[-1](image).macs[0])
    for engine in engines:
        engine.close()
    return {
        "blocks": len(bundle.manifest.blocks),
        "macs": whole,
        "kept": kept / whole,
        **{variant: statistics.median(found) * 1e3 for variant, found in zip(VARIANTS, times)},
    }


def markdown(rows: dict[str, Any]) -> str:
    """A line for each network; times faster than dense, below 1: slower."""
    lines = ["| network | gates | fused blocks | M MACs | MACs left | dense, ms | all open | gated | promised |"]
    lines.append("|" + "---|" * 9)
    for name, row in rows.items():
        ratios = [f"{row['dense'] / row[variant]:.2f}" for variant in VARIANTS[1:]]
        lines.append(
            f"| {name} | {row['gates']} | {row['blocks']} | {row['macs'] / 1e6:.0f} | {row['kept']:.0%} "
            f"| {row['dense']:.2f} | {' | '.join(ratios)} | {1 / row['kept']:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--json", type=Path, help="result file, which is continued if it exists")
    options.add_argument("--only", default="", help="networks whose name contains this")
    options.add_argument("--rounds", type=at_least_two, default=15)
    options.add_argument("--table", type=Path, help="print the table of this result file, and run nothing")
    chosen = options.parse_args(arguments)
    if chosen.table is not None:
        print(markdown(json.loads(chosen.table.read_text())["networks"]))
        return 0
    torch.set_num_threads(1)
    machine = describe("torch", "onnx", "onnxruntime", "timm", "pytorchcv", "numpy")
    known = json.loads(chosen.json.read_text())["networks"] if chosen.json and chosen.json.is_file() else {}
    rows: dict[str, Any] = {entry.key: known[entry.key] for entry in ENTRIES if entry.key in known}
    for entry in ENTRIES:
        if chosen.only not in entry.name or entry.key in rows:
            continue
        rows[entry.key] = measure(entry, chosen.rounds)
        print(markdown({entry.key: rows[entry.key]}).splitlines()[-1], flush=True)
        write_json(chosen.json, {"machine": machine, "rounds": chosen.rounds, "networks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
