"""Time 16-bit weights of small maps against float32 ones: equal rounded weights, equal results, one process.

    python -m benchmarks.kernels.weights                        # layers and networks
    python -m benchmarks.kernels.weights networks --only resnet18 --json out.json

Layers run with their weights in the cache and from memory: one session after the other, each with weights of its own,
so many that none is still in a cache when its turn comes. Processor time of one thread, medians of interleaved rounds.
"""

from __future__ import annotations

import statistics
import sys

import numpy as np
import onnx

from benchmarks.command_line import kernel_parser, write_json
from benchmarks.networks import graphs
from benchmarks.networks.gated import masked_samples
from benchmarks.networks.masks import network_cost, network_masks, random_mask
from benchmarks.networks.rounding import rounded
from benchmarks.networks.shapes import NETWORKS, Layer
from benchmarks.sessions import Library, bound_run, require_close, session
from benchmarks.timing import Run, in_turn, interleaved_seconds, spread
from sanp_export.graph.number_types import nearest_bf16

LAYERS = (
    Layer(512, 512, 4), Layer(256, 512, 8, 3, 2, 1), Layer(512, 512, 4, 1, 1, 0),
    Layer(512, 512, 2), Layer(512, 512, 1), Layer(512, 512, 2, 1, 1, 0),
)  # fmt: skip
SMALL_MAPS = ("resnet18", "vgg19")  # the networks that have maps so small
KEEPS = (1.0, 0.6, 0.47, 0.3)
# Bytes of 16-bit weights that push each other out of a cache of 32 MB.
COLD_BYTES = 96 << 20
KINDS = {"float32": False, "bf16": True}  # the name of a kind, and whether the session stores 16 bits


def require_same_bits(name: str, wide: np.ndarray, small: np.ndarray) -> None:
    """Refuse to time a kernel that changes a result."""
    if not np.array_equal(wide.view(np.uint32), small.view(np.uint32)):
        raise SystemExit(f"{name}: 16-bit weights changed a result; expected the same bits")


def compared(runs: dict[str, Run], rounds: int) -> dict:
    """Median times of runs named `<what> float32` and `<what> bf16`, and their ratios by round."""
    times = dict(zip(runs, interleaved_seconds(list(runs.values()), rounds), strict=True))
    row: dict = {name: spread(kept) for name, kept in times.items()}
    for what in {name.rpartition(" ")[0] for name in runs if name.endswith(" bf16")}:
        pairs = zip(times[f"{what} float32"], times[f"{what} bf16"], strict=True)
        row[f"{what} gain"] = statistics.median(wide / small for wide, small in pairs)
    return row


def bench_layer(layer: Layer, library: Library, cold: bool, rounds: int) -> dict:
    """One layer with weights in the cache or from memory, at every kept fraction."""
    rng = np.random.default_rng(1)
    copies = COLD_BYTES // (2 * layer.c_out * layer.c_in * layer.kernel**2) if cold else 1
    sessions: dict[str, list] = {kind: [] for kind in KINDS}
    for _ in range(copies):
        model = graphs.gated_layer(layer, nearest_bf16(graphs.random_weights(layer, rng)))
        for kind, made in sessions.items():
            made.append(library.session(model, bf16_weights=KINDS[kind]))
    runs = {}
    for keep in KEEPS:
        scale, active = random_mask(layer.c_out, keep, rng), random_mask(layer.c_in, keep, rng)
        x = rng.standard_normal((1, layer.c_in, layer.size, layer.size), dtype=np.float32) * active[:, :, None, None]
        feeds = {"x": x, "scale": scale, "shift": np.zeros_like(scale), "active": active}
        for pair in zip(*sessions.values(), strict=True):
            require_same_bits(layer.name, *(session.run(None, feeds)[0] for session in pair))
        for kind, made in sessions.items():
            runs[f"{keep} {kind}"] = in_turn([bound_run(session, feeds) for session in made])
    return {"name": layer.name, "weights": "memory" if cold else "cache", "sessions": copies, **compared(runs, rounds)}


def bench_network(name: str, library: Library, rounds: int) -> dict:
    """One network: dense, all masks open, and random masks per sample at the operating point of the paper."""
    network, rng = NETWORKS[name](), np.random.default_rng(1)
    gated, dense = (
        rounded(onnx.load_from_string(make(network, np.random.default_rng(2))), network).SerializeToString()
        for make in (graphs.gated_network, graphs.dense_network)
    )
    plain = session(dense)
    sessions = {kind: library.session(gated, bf16_weights=small) for kind, small in KINDS.items()}
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    open_feeds = {"x": x, **network_masks(network, 1.0, rng)}
    keep, samples = masked_samples(name, network, x, rng)
    for feeds in (open_feeds, *samples):
        require_same_bits(name, *(made.run(None, feeds)[0] for made in sessions.values()))
    require_close(name, sessions["bf16"].run(None, open_feeds)[0], plain.run(None, {"x": x})[0])
    runs: dict[str, Run] = {"dense": bound_run(plain, {"x": x})}
    for kind, made in sessions.items():
        runs[f"open {kind}"] = bound_run(made, open_feeds)
        runs[f"gated {kind}"] = in_turn([bound_run(made, feeds) for feeds in samples])
    cost = float(np.mean([network_cost(network, sample) for sample in samples]))
    return {"name": name, "macs": network.macs, "keep": keep, "cost": cost, **compared(runs, rounds)}


def print_row(row: dict) -> None:
    """Every comparison of a row in one line."""
    gains = [key.rpartition(" ")[0] for key in row if key.endswith(" gain")]
    cells = "  ".join(
        f"{what}: {row[f'{what} float32']['median_us']:7.1f} {row[f'{what} bf16']['median_us']:7.1f} us"
        f" {row[f'{what} gain']:5.2f}x"
        for what in sorted(gains, reverse=True)
    )
    dense = f"  dense {row['dense']['median_us']:7.1f} us" if "dense" in row else ""
    print(f"{row['name']:<18} {row.get('weights', ''):<6} {cells}{dense}", flush=True)


def main() -> int:
    """Command line."""
    parser = kernel_parser(__doc__)
    parser.add_argument("what", nargs="?", choices=["all", "layers", "networks"], default="all")
    args = parser.parse_args()

    library = Library(args.library, args.isa)
    layers: list[dict] = []
    networks: list[dict] = []
    print(f"{library.text}, one thread; float32, bf16, and how many times faster")
    for layer in LAYERS if args.what != "networks" else ():
        for cold in (False, True) if args.only in layer.name else ():
            layers.append(bench_layer(layer, library, cold, args.rounds))
            print_row(layers[-1])
    for name in SMALL_MAPS if args.what != "layers" else ():
        if args.only in name:
            networks.append(bench_network(name, library, args.rounds))
            print_row(networks[-1])
    write_json(args.json, {**library.origin(), "rounds": args.rounds, "layers": layers, "networks": networks})
    return 0


if __name__ == "__main__":
    sys.exit(main())
