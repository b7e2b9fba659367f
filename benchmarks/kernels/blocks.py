"""Time inverted residual blocks: dense ONNX Runtime, our three layers, and the three fused into one node.

    python -m benchmarks.kernels.blocks --rounds 15
    python -m benchmarks.kernels.blocks --only mobilenet-v2@96 --json blocks.json

Every block of the networks of the edge once, all open and half open, a random mask per sample. All sides run in one
process on one thread, interleaved, and are compared before they are timed.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np

from benchmarks.command_line import write_json
from benchmarks.networks import graphs
from benchmarks.networks.blocks import Block, blocks_of
from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.masks import network_masks
from benchmarks.networks.shapes import Conv, Network
from benchmarks.sessions import Library, bound_run, require_close, session
from benchmarks.timing import in_turn, interleaved_seconds
from benchmarks.yardsticks import started

KEEPS = (1.0, 0.5)
MASKS = 8  # for half-open blocks, one after the other


def alone(network: Network, block: Block) -> Network:
    """The block as a network of its own; its input is called x."""
    size = network.convs[block.expand].layer.size
    made = Network(size)
    for name in (block.expand, block.depthwise, block.project):
        conv = network.convs[name]
        source = "x" if name == block.expand else conv.source
        made.nodes[name] = Conv(conv.layer, source, "x" if conv.residual else "", conv.relu, conv.mask)
    return made


def distinct() -> dict[str, tuple[Network, Block]]:
    """Name such as `16-96-24 3x3/2 @112` and the block, of every network, with the networks in front."""
    found: dict[str, tuple[Network, Block]] = {}
    seen: set[tuple[Any, ...]] = set()
    for network_name, make in EDGE_NETWORKS.items():
        network = make()
        for block in blocks_of(network):
            made = alone(network, block)
            expand, depthwise, project = (conv.layer for conv in made.convs.values())
            residual = bool(made.convs[block.project].residual)
            key = (expand, depthwise, project, residual)
            if key in seen:
                continue
            seen.add(key)
            stride = f"/{depthwise.stride}" if depthwise.stride > 1 else ""
            kernel = f"{depthwise.kernel}x{depthwise.kernel}{stride}"
            channels = f"{expand.c_in}-{expand.c_out}-{project.c_out}"
            name = f"{network_name} {channels} {kernel} @{expand.size}{' +' if residual else ''}"
            found[name] = (made, block)
    return found


def measure(name: str, network: Network, block: Block, library: Library, rounds: int) -> dict[str, Any]:
    """Microseconds of one block: dense, and for each kept fraction apart and fused."""
    rng = np.random.default_rng(1)
    dense = session(graphs.dense_part(network, np.random.default_rng(2)))
    sides = [library.session(graphs.gated_part(network, np.random.default_rng(2), fused)) for fused in (False, True)]
    x = rng.standard_normal((1, network.channels, network.size, network.size), dtype=np.float32)
    runs, kept = [bound_run(dense, {"x": x})], []
    for keep in KEEPS:
        feeds = [{"x": x, **network_masks(network, keep, rng)} for _ in range(MASKS if keep < 1 else 1)]
        apart, fused = (side.run(None, feeds[0])[0] for side in sides)
        require_close(name, fused, apart)
        if keep == 1.0:
            require_close(name, fused, dense.run(None, {"x": x})[0])
        runs += [in_turn([bound_run(side, feed) for feed in feeds]) for side in sides]
    times = [statistics.median(of_run) * 1e6 for of_run in interleaved_seconds(runs, rounds)]
    for keep, apart_us, fused_us in zip(KEEPS, times[1::2], times[2::2]):
        kept.append({"keep": keep, "apart_us": apart_us, "fused_us": fused_us})
    return {"name": name, "dense_us": times[0], "kept": kept}


def line(row: dict[str, Any]) -> str:
    """One line of the table; ratios are times faster than dense."""
    dense = row["dense_us"]
    parts = [
        f"keep {k['keep']:.1f}: apart {k['apart_us']:7.1f} ({dense / k['apart_us']:.2f})"
        f" fused {k['fused_us']:7.1f} ({dense / k['fused_us']:.2f})"
        for k in row["kept"]
    ]
    return f"{row['name']:<52} dense {dense:7.1f} us  " + "  ".join(parts)


def main() -> int:
    """Command line."""
    args, library, report = started(__doc__)
    rows: list[dict[str, Any]] = []
    for name, (network, block) in distinct().items():
        if args.only in name:
            rows.append(measure(name, network, block, library, args.rounds))
            print(line(rows[-1]), flush=True)
    write_json(args.json, {**report, "blocks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
