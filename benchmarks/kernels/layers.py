"""Time every convolution shape of the backbones: the gated kernel against ONNX Runtime's dense convolution.

    python -m benchmarks.kernels.layers
    python -m benchmarks.kernels.layers --edge --only depthwise
    python -m benchmarks.kernels.layers --edge 96 --only depthwise --algorithm depthwise-in-place
    python -m benchmarks.kernels.layers --only resnet18 --isa avx2 --json layers.json

Both sides run in one process on one thread, interleaved, and are compared before they are timed. The yardstick is the
multiply-add rate of this core, measured in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import numpy as np

from benchmarks.command_line import write_json
from benchmarks.networks import graphs
from benchmarks.networks.edge import edge_layers
from benchmarks.networks.masks import random_mask
from benchmarks.networks.resnets import every_layer
from benchmarks.networks.shapes import Layer
from benchmarks.sessions import Library, bound_run, require_close, session
from benchmarks.timing import interleaved_seconds, spread
from benchmarks.yardsticks import started

KEEPS = (1.0, 0.7, 0.5, 0.3)


def bench_layer(
    layer: Layer, library: Library, ceiling: float | None, rounds: int, winograd: int | None, algorithm: str = ""
) -> dict:
    """One layer: dense, and gated at every kept fraction."""
    rng = np.random.default_rng(1)
    weights = graphs.random_weights(layer, rng)
    dense = session(graphs.dense_layer(layer, weights))
    gated = library.session(graphs.gated_layer(layer, weights, algorithm), winograd=winograd)
    x = rng.standard_normal((1, layer.c_in, layer.size, layer.size), dtype=np.float32)
    runs, kept_macs = [bound_run(dense, {"x": x})], [layer.macs]
    for keep in KEEPS:
        scale = random_mask(layer.c_out, keep, rng)
        active = random_mask(layer.c_in, keep if layer.c_in > 3 else 1.0, rng)
        active = scale if layer.group == layer.c_in == layer.c_out > 1 else active  # depthwise: one decision for both
        feeds = {"x": x * active[:, :, None, None], "scale": scale, "shift": np.zeros_like(scale), "active": active}
        reference = dense.run(None, {"x": feeds["x"]})[0] * scale[:, :, None, None]
        require_close(f"{layer.name} keep {keep}", gated.run(None, feeds)[0], reference)
        runs.append(bound_run(gated, feeds))
        kept = scale.reshape(layer.group, -1).mean(1) * active.reshape(layer.group, -1).mean(1)
        kept_macs.append(layer.macs * float(kept.mean()))
    times = interleaved_seconds(runs, rounds)
    result = {"name": layer.name, "macs": layer.macs, "dense": spread(times[0]), "gated": []}
    for keep, macs, measured in zip(KEEPS, kept_macs[1:], times[1:]):
        seconds = statistics.median(measured)
        ratio = statistics.median(times[0]) / seconds
        rate = 2e-9 * macs / seconds
        result["gated"].append(
            {"keep": keep, **spread(measured), "gflops": rate, "of_ceiling": ceiling and rate / ceiling,
             "speedup": ratio, "efficiency": ratio * macs / layer.macs}
        )  # fmt: skip
    return result


def line(row: dict) -> str:
    """One line of the table."""
    cells = []
    for g in row["gated"]:
        share = "   -" if g["of_ceiling"] is None else f"{g['of_ceiling']:4.0%}"
        cells.append(f"{g['keep']:.1f} {g['median_us']:7.1f} us {g['gflops']:5.1f} {share} {g['speedup']:5.2f}x")
    return f"{row['name']:<28} dense {row['dense']['median_us']:7.1f} us | {'  '.join(cells)}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark alone."""
    edge = "layers of the edge networks instead, for images of this size"
    parser.add_argument("--edge", type=int, nargs="?", const=224, choices=(224, 96), help=edge)
    parser.add_argument("--algorithm", default="", help="hint of every gated layer (default: the library's choice)")


def main() -> int:
    """Command line."""
    args, library, report = started(__doc__, add_options)
    rows: list[dict] = []
    for layer, networks in (edge_layers(args.edge) if args.edge else every_layer()).items():
        if any(args.only in name for name in (layer.name, *networks)):
            row = bench_layer(layer, library, report["ceiling_gflops"], args.rounds, args.winograd, args.algorithm)
            rows.append({**row, "networks": networks})
            print(line(rows[-1]), flush=True)
    write_json(args.json, {**report, "layers": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
