"""Time the convolution shapes of the backbones on bytes: the gated int8 kernel against ONNX Runtime's QLinearConv.

    python -m benchmarks.kernels.int8
    python -m benchmarks.kernels.int8 --only "128-128" --isa avx2 --json int8.json

All open, and the kept fraction that brings the network to the multiply-adds of the paper; beside them our float32
kernel at that fraction. One thread, interleaved in one process, compared before it is timed.
"""

from __future__ import annotations

import statistics
import sys

import numpy as np

from benchmarks.command_line import kernel_parser, write_json
from benchmarks.networks import graphs, int8_graphs
from benchmarks.networks.masks import keep_for_cost, random_mask
from benchmarks.networks.shapes import NETWORKS, OPERATING_POINTS, Layer
from benchmarks.sessions import Library, bound_run, session
from benchmarks.timing import interleaved_seconds, spread


def layers_of_networks() -> dict[Layer, float]:
    """Every shape of the three backbones, with the kept fraction of the first network that has it."""
    found: dict[Layer, float] = {}
    for name, build in NETWORKS.items():
        network = build()
        keep = keep_for_cost(network, OPERATING_POINTS[name])
        for conv in network.convs.values():
            found.setdefault(conv.layer, keep)
    return found


def bench_layer(layer: Layer, keep: float, library: Library, rounds: int) -> dict:
    """One layer: dense int8, all open, gated, and gated in float32."""
    rng = np.random.default_rng(1)
    weights = graphs.random_weights(layer, rng)
    dense = session(int8_graphs.dense_layer(layer, weights))
    ours = library.session(int8_graphs.gated_layer(layer, weights))
    floats = library.session(graphs.gated_layer(layer, weights))
    x = rng.integers(0, 256, (1, layer.c_in, layer.size, layer.size)).astype(np.uint8)
    runs, kept = [bound_run(dense, {"x": x})], []
    for share in (1.0, keep):
        scale = random_mask(layer.c_out, share, rng)
        active = random_mask(layer.c_in, share if layer.c_in > 3 else 1.0, rng)
        feeds = {"scale": scale, "shift": np.zeros_like(scale), "active": active}
        pixels = x * active[:, :, None, None].astype(np.uint8)
        expected = dense.run(None, {"x": pixels})[0] * scale[:, :, None, None].astype(np.uint8)
        apart = np.abs(expected.astype(int) - ours.run(None, {"x": pixels, **feeds})[0])
        if apart.max() > 1:
            raise SystemExit(f"{layer.name}: {apart.max()} steps from ONNX Runtime's answer; expected at most 1")
        runs.append(bound_run(ours, {"x": pixels, **feeds}))
        kept.append(float(scale.mean() * active.mean()))
    runs.append(bound_run(floats, {"x": pixels.astype(np.float32), **feeds}))
    times = interleaved_seconds(runs, rounds)
    medians = [statistics.median(t) for t in times]
    rates = [2e-9 * layer.macs * share / seconds for share, seconds in zip((1.0, *kept), medians)]
    return {
        "name": layer.name, "macs": layer.macs, "keep": keep, "kept_macs": kept[1],
        "dense": spread(times[0]), "open": spread(times[1]), "gated": spread(times[2]), "float_gated": spread(times[3]),
        "gops": {"dense": rates[0], "open": rates[1], "gated": rates[2]},
        "open_over_dense": medians[1] / medians[0], "speedup": medians[0] / medians[2],
        "over_float": medians[3] / medians[2],
    }  # fmt: skip


def line(row: dict) -> str:
    """One line of the table."""
    return (
        f"{row['name']:<20} dense {row['dense']['median_us']:6.1f} us {row['gops']['dense']:4.0f} GOP/s"
        f" | open {row['open']['median_us']:6.1f} us {row['gops']['open']:4.0f}"
        f" | {row['kept_macs']:4.0%} {row['gated']['median_us']:6.1f} us {row['gops']['gated']:4.0f}"
        f" = {row['speedup']:5.2f}x of dense, {row['over_float']:4.2f}x of float32"
    )


def main() -> int:
    """Command line."""
    args = kernel_parser(__doc__).parse_args()
    library = Library(args.library, args.isa)
    print(library.text)
    rows: list[dict] = []
    for layer, keep in layers_of_networks().items():
        if args.only in layer.name:
            rows.append(bench_layer(layer, keep, library, args.rounds))
            print(line(rows[-1]), flush=True)
    write_json(args.json, {**library.origin(), "layers": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
