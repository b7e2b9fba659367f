"""Where the time of a network goes: every convolution of a gated network beside dense ONNX Runtime's.

    python -m benchmarks.networks.per_layer --only mobilenet-v2@96
    python -m benchmarks.networks.per_layer --only resnet50@224 --keep 0.5 --json per_layer.json

The profiler of ONNX Runtime times every node in whole networks, so that weights and pixels come from where they lie in
use. Blocks of runs of both sides alternate, and the median of each node counts. One thread, masks as inputs.

Inverted residual blocks run as one node and have one row, called like their projection; with --apart as three.
"""

from __future__ import annotations

import argparse
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
from benchmarks.networks.blocks import Block, blocks_of
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


def owners(network: Network, blocks: list[Block]) -> dict[str, str]:
    """Whose time a node counts for, by name: a convolution itself, and its hard sigmoid, which one side may fuse.

    What is inside of a block counts for its projection.

    Hard swish counts for the convolution where it is fused; elsewhere ONNX Runtime replaces it by nodes without names,
    which count as other ones.
    """
    found = {name: name for name in network.convs}
    for block in blocks:
        found[block.expand] = found[block.depthwise] = block.project
    for name, step in network.nodes.items():
        if name not in found and step[0] == "HardSigmoid":
            found[name] = step[1]
    return found


def node_times(profile: Path, owner: dict[str, str]) -> dict[str, float]:
    """Median microseconds of each convolution with its sum and activation, and of all other nodes as "other"."""
    durations: dict[str, list[float]] = {}
    for event in json.loads(profile.read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations.setdefault(event["name"].removesuffix("_kernel_time"), []).append(float(event["dur"]))
    times = {**dict.fromkeys(owner.values(), 0.0), "other": 0.0}
    for node, found in durations.items():
        # The steps of a dense convolution are called name.0, name.1 and name; one laid out anew ends in _nchwc.
        name = re.sub(r"(\.\d)?(_nchwc.*)?$", "", node)
        times[owner.get(name, "other")] += statistics.median(found)
    return times


def measure(network: Network, library: Library, keep: float, rounds: int, fused: bool) -> dict[str, Any]:
    """Microseconds by convolution or block: dense, all open, and with this part of the gated channels open."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    feeds = {"open": network_masks(network, 1.0, rng), "kept": network_masks(network, keep, rng)}
    models = {"dense": named(graphs.dense_network(network, np.random.default_rng(2)))}
    models |= dict.fromkeys(feeds, named(graphs.gated_network(network, np.random.default_rng(2), fused)))
    blocks = blocks_of(network) if fused else []
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
        times = {
            side: node_times(Path(made.end_profiling()), owners(network, blocks)) for side, made in sessions.items()
        }
    rows = []
    parts = {block.project: block for block in blocks}
    inner = {name for block in blocks for name in (block.expand, block.depthwise)}
    for name in (name for name in network.convs if name not in inner):
        layer, block = network.convs[name].layer, parts.get(name)
        whole = [name] if block is None else [block.expand, block.depthwise, block.project]
        row = {"name": name, "layer": layer.name, "kind": kind_of(layer)}
        if block is not None:
            depthwise = network.convs[block.depthwise].layer
            row |= {"layer": f"block of {depthwise.name}", "kind": f"block, {depthwise.kernel}x{depthwise.kernel}"}
        row |= {"macs": sum(network.convs[part].layer.macs for part in whole)}
        row |= {"macs_kept": sum(kept_macs(network.convs[part].layer, part, feeds["kept"]) for part in whole)}
        rows.append({**row, **{side: times[side][name] for side in times}})
    return {"convs": rows, "other": {side: times[side]["other"] for side in times}}


def kept_macs(layer: Layer, name: str, masks: dict[str, np.ndarray]) -> float:
    """Multiply-adds that the masks leave of a convolution."""
    scale, active = (masks[f"{name}.{mask}"].reshape(layer.group, -1) for mask in ("scale", "active"))
    return layer.macs * float(np.mean(scale.mean(1) * active.mean(1)))


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

    def options(made: argparse.ArgumentParser) -> None:
        made.add_argument("--keep", type=float, default=0.5, help="part of the channels open")
        made.add_argument("--apart", action="store_true", help="blocks as three nodes")

    args, library, report = started(__doc__, options)
    found: dict[str, Any] = {}
    for name, make in (NETWORKS | EDGE_NETWORKS).items():
        if args.only in name:
            found[name] = measure(make(), library, args.keep, args.rounds, not args.apart)
            print(name, *lines(found[name]), sep="\n", flush=True)
    write_json(args.json, {**report, "keep": args.keep, "fused": not args.apart, "networks": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
