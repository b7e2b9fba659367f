"""Time whole gated networks against ONNX Runtime's dense ones, with masks that match the paper's multiply-adds.

    python -m benchmarks.networks.gated --rounds 61
    python -m benchmarks.networks.gated --only resnet18 --isa avx2 --winograd 0 --json networks.json
    python -m benchmarks.networks.gated --edge --only mobilenet

M-CifarNet, VGG-19 and ResNet-18 at full width for 32 x 32 images, random weights, one random mask per sample and layer.
With --edge: the networks of edge.py at 224 and 96, half of the gated channels open; inverted residual blocks run as one
node, or with --apart as three.
Masks are inputs: no gate is computed.
Both sides run in one process on one thread, interleaved, and are compared before they are timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import numpy as np

from benchmarks.command_line import write_json
from benchmarks.networks import graphs
from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.masks import kept_fraction, network_cost, network_masks
from benchmarks.networks.shapes import NETWORKS, Network
from benchmarks.sessions import Library, bound_run, require_close, session
from benchmarks.timing import in_turn, interleaved_seconds, spread
from benchmarks.yardsticks import started

SAMPLES = 8
# Of calls of one side, so that it finds its weights where its own calls left them. With 4 ms every second call of a
# network of 2 ms fetched them from memory, because the other sides had filled the cache.
TURN_SECONDS = 20e-3


def masked_samples(name: str, network: Network, x: np.ndarray, rng: np.random.Generator) -> tuple[float, list[dict]]:
    """The kept fraction that brings the cost to the paper's, and inputs of `SAMPLES` samples with masks like that."""
    keep = kept_fraction(name, network)
    return keep, [{"x": x, **network_masks(network, keep, rng)} for _ in range(SAMPLES)]


def bench_network(name: str, library: Library, rounds: int, winograd: int | None, fused: bool = True) -> dict:
    """One network: dense, all masks open, and random masks per sample at the operating point of the paper."""
    network = (NETWORKS | EDGE_NETWORKS)[name]()
    rng = np.random.default_rng(1)
    dense = session(graphs.dense_network(network, np.random.default_rng(2)))
    gated = library.session(graphs.gated_network(network, np.random.default_rng(2), fused), winograd=winograd)
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    open_feeds = {"x": x, **network_masks(network, 1.0, rng)}
    require_close(name, gated.run(None, open_feeds)[0], dense.run(None, {"x": x})[0])

    keep, samples = masked_samples(name, network, x, rng)
    cost = float(np.mean([network_cost(network, sample) for sample in samples]))
    turns = in_turn([bound_run(gated, sample) for sample in samples])
    times = interleaved_seconds([bound_run(dense, {"x": x}), bound_run(gated, open_feeds), turns], rounds, TURN_SECONDS)
    medians = [statistics.median(t) for t in times]
    return {
        "name": name, "fused": fused, "macs": network.macs, "keep": keep, "cost": cost,
        "dense": spread(times[0]), "open": spread(times[1]), "gated": spread(times[2]),
        "open_over_dense": medians[1] / medians[0], "speedup": medians[0] / medians[2],
        "efficiency": medians[0] / medians[2] * cost,
    }  # fmt: skip


def line(row: dict) -> str:
    """One line of the table."""
    return (
        f"{row['name']:<12} dense {row['dense']['median_us'] / 1e3:6.2f} ms"
        f"  all open {row['open']['median_us'] / 1e3:6.2f} ms ({row['open_over_dense'] - 1:+.1%})"
        f"  at {row['cost']:.1%} of the MACs {row['gated']['median_us'] / 1e3:6.2f} ms"
        f"  = {row['speedup']:.2f}x of {1 / row['cost']:.2f}x ({row['efficiency']:.0%})"
    )


def main() -> int:
    """Command line."""

    def options(made: argparse.ArgumentParser) -> None:
        made.add_argument("--edge", action="store_true", help="networks of the edge")
        made.add_argument("--apart", action="store_true", help="inverted residual blocks as three nodes")

    args, library, report = started(__doc__, options)
    rows: list[dict] = []
    for name in EDGE_NETWORKS if args.edge else NETWORKS:
        if args.only in name:
            rows.append(bench_network(name, library, args.rounds, args.winograd, not args.apart))
            print(line(rows[-1]), flush=True)
    write_json(args.json, {**report, "networks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
