"""Where the time of a network goes: every convolution of a gated network beside dense ONNX Runtime's.

    python -m benchmarks.networks.per_layer --only mobilenet-v2@96
    python -m benchmarks.networks.per_layer --only resnet50@224 --keep 0.5 --json per_layer.json

The profiler of ONNX Runtime times every node in whole networks, so that weights and pixels come from where they lie in
use. Blocks of runs of both sides alternate, and the median of each node counts. One thread, masks as inputs.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.command_line import write_json
from benchmarks.networks import graphs
from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.masks import network_masks
from benchmarks.networks.shapes import NETWORKS, Layer, Network
from benchmarks.sessions import Library, bound_run, session
from benchmarks.yardsticks import started

BLOCK = 10  # runs of one side before the other has its turn


def kind_of(layer: Layer) -> str:
    """`1x1`, `3x3`, `3x3 depthwise` and so on."""
    groups = "" if layer.group == 1 else " depthwise" if layer.group == layer.c_in else " grouped"
    return f"{layer.kernel}x{layer.kernel}{groups}"


def named(model: bytes) -> bytes:
    """The model with nodes called like their outputs: the profiler tells names of nodes."""
    proto = onnx.load_from_string(model)
    for node in proto.graph.node:
        node.name = node.output[0]
    return bytes(proto.SerializeToString())


def node_times(profile: Path, names: list[str]) -> dict[str, float]:
    """Median microseconds of each convolution with its sum and activation, and of all other nodes as "other"."""
    durations: dict[str, list[float]] = {}
    for event in json.loads(profile.read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations.setdefault(event["name"].removesuffix("_kernel_time"), []).append(float(event["dur"]))
    times = {**dict.fromkeys(names, 0.0), "other": 0.0}
    for node, found in durations.items():
        # The steps of a dense convolution are called name.0, name.1 and name; one laid out anew ends in _nchwc.
        name = re.sub(r"(\.\d)?(_nchwc.*)?$", "", node)
        times[name if name in times else "other"] += statistics.median(found)
    return times


def measure(network: Network, library: Library, keep: float, rounds: int) -> dict[str, Any]:
    """Microseconds by convolution: dense, all open, and with this part of the gated channels open."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    feeds = {"open": network_masks(network, 1.0, rng), "kept": network_masks(network, keep, rng)}
    models = {"dense": named(graphs.dense_network(network, np.random.default_rng(2)))}
    models |= dict.fromkeys(feeds, named(graphs.gated_network(network, np.random.default_rng(2))))
    with tempfile.TemporaryDirectory() as folder:
        sessions = {}
        for side, model in models.items():
            gated = {} if side == "dense" else {"library": library.path, "entries": library.entries()}
            sessions[side] = session(model, profile=Path(folder) / side, **gated)
        runs = {side: bound_run(made, {"x": x, **feeds.get(side, {})}) for side, made in sessions.items()}
        for _ in range(rounds):
            for run in runs.values():
                for _ in range(BLOCK):
                    run()
        times = {side: node_times(Path(made.end_profiling()), list(network.convs)) for side, made in sessions.items()}
    rows = []
    for name, conv in network.convs.items():
        scale, active = (feeds["kept"][f"{name}.{mask}"].reshape(conv.layer.group, -1) for mask in ("scale", "active"))
        left = conv.layer.macs * float(np.mean(scale.mean(1) * active.mean(1)))
        row = {"name": name, "layer": conv.layer.name, "kind": kind_of(conv.layer), "macs": conv.layer.macs}
        rows.append({**row, "macs_kept": left, **{side: times[side][name] for side in times}})
    return {"convs": rows, "other": {side: times[side]["other"] for side in times}}


def cells(row: dict[str, Any]) -> str:
    """Microseconds and GFLOP/s of the three sides, and how many times faster than dense two of them are."""
    rates = [
        f"{side} {row[side]:8.1f} us {2e-3 * row['macs_kept' if side == 'kept' else 'macs'] / row[side]:6.1f}"
        for side in ("dense", "open", "kept")
    ]
    ratios = f"{row['dense'] / row['open']:5.2f}x {row['dense'] / row['kept']:5.2f}x"
    return "  ".join([*rates, f"{ratios} of {row['macs'] / row['macs_kept']:.2f}x"])


def lines(found: dict[str, Any]) -> list[str]:
    """The table of one network: every convolution, then sums by kind."""
    table, sums = [], {}
    for row in found["convs"]:
        table.append(f"{row['name']:<16}{row['layer']:<32}{cells(row)}")
        for kind in (row["kind"], "all"):
            total = sums.setdefault(kind, dict.fromkeys(("macs", "macs_kept", "dense", "open", "kept"), 0.0))
            for key in total:
                total[key] += row[key]
    table += [f"{'sum':<16}{kind:<32}{cells(total)}" for kind, total in sums.items()]
    return [*table, "other nodes, us: " + ", ".join(f"{side} {us:.1f}" for side, us in found["other"].items())]


def main() -> int:
    """Command line."""
    args, library, report = started(
        __doc__, lambda made: made.add_argument("--keep", type=float, default=0.5, help="part of the channels open")
    )
    found: dict[str, Any] = {}
    for name, make in (NETWORKS | EDGE_NETWORKS).items():
        if args.only in name:
            found[name] = measure(make(), library, args.keep, args.rounds)
            print(name, *lines(found[name]), sep="\n", flush=True)
    write_json(args.json, {**report, "keep": args.keep, "networks": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
