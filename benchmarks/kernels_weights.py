"""Time 16-bit weights of small maps against float32 ones: equal rounded weights, equal results, one process.

    python benchmarks/kernels_weights.py                        # layers and networks
    python benchmarks/kernels_weights.py networks --only resnet18 --json out.json

Layers run with their weights in the cache and from memory: one session after the other, each with weights of its own,
so many that none is still in a cache when its turn comes. Processor time of one thread, medians of interleaved rounds.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterable

import kernels
import kernels_models as models
import numpy as np
import onnx
import onnxruntime as ort
from peers.networks import rounded

from sanp_export.passes.round_weights import nearest_bf16

LAYERS = (
    models.Layer(512, 512, 4), models.Layer(256, 512, 8, 3, 2, 1), models.Layer(512, 512, 4, 1, 1, 0),
    models.Layer(512, 512, 2), models.Layer(512, 512, 1), models.Layer(512, 512, 2, 1, 1, 0),
)  # fmt: skip
NETWORKS = ("resnet18", "vgg19")
KEEPS = (1.0, 0.6, 0.47, 0.3)
# Bytes of 16-bit weights that push each other out of a cache of 32 MB.
COLD_BYTES = 96 << 20
FLOAT32, BF16 = 0, 1  # values of sanp.bf16_weights


def session_of(library: kernels.Library, model: bytes, kind: int) -> ort.InferenceSession:
    """A session whose small maps have weights of this kind, FLOAT32 or BF16."""
    return kernels.session(model, library.asked(bf16_weights=kind))


def in_turn(runs: Iterable[Callable[[], None]]) -> Callable[[], None]:
    """A function whose calls go to these one after the other."""
    turns = itertools.cycle(list(runs))
    return lambda: next(turns)()  # noqa: PLW0108


def require_same_bits(name: str, float32: np.ndarray, bf16: np.ndarray) -> None:
    """Refuse to time a kernel that changes a result."""
    if not np.array_equal(float32.view(np.uint32), bf16.view(np.uint32)):
        raise SystemExit(f"{name}: 16-bit weights changed a result; expected the same bits")


def compared(runs: dict[str, Callable[[], None]], rounds: int) -> dict:
    """Median times of runs named `<what> float32` and `<what> bf16`, and their ratios by round."""
    times = dict(zip(runs, kernels.interleaved_seconds(list(runs.values()), rounds), strict=True))
    row: dict = {name: kernels.spread(kept) for name, kept in times.items()}
    for what in {name.rpartition(" ")[0] for name in runs if name.endswith(" bf16")}:
        pairs = zip(times[f"{what} float32"], times[f"{what} bf16"], strict=True)
        row[f"{what} gain"] = statistics.median(float32 / bf16 for float32, bf16 in pairs)
    return row


def bench_layer(layer: models.Layer, library: kernels.Library, cold: bool, rounds: int) -> dict:
    """One layer with weights in the cache or from memory, at every kept fraction."""
    rng = np.random.default_rng(1)
    copies = COLD_BYTES // (2 * layer.co * layer.ci * layer.kernel**2) if cold else 1
    sessions: dict[int, list] = {FLOAT32: [], BF16: []}
    for _ in range(copies):
        model = models.gated_layer(layer, nearest_bf16(models.random_weights(layer, rng)))
        for kind, made in sessions.items():
            made.append(session_of(library, model, kind))
    runs = {}
    for keep in KEEPS:
        scale, active = models.random_mask(layer.co, keep, rng), models.random_mask(layer.ci, keep, rng)
        x = rng.standard_normal((1, layer.ci, layer.size, layer.size), dtype=np.float32) * active[:, :, None, None]
        feeds = {"x": x, "scale": scale, "shift": np.zeros_like(scale), "active": active}
        for pair in zip(sessions[FLOAT32], sessions[BF16], strict=True):
            require_same_bits(layer.name, *(session.run(None, feeds)[0] for session in pair))
        for kind, name in ((FLOAT32, "float32"), (BF16, "bf16")):
            runs[f"{keep} {name}"] = in_turn([kernels.bound_run(session, feeds) for session in sessions[kind]])
    return {"name": layer.name, "weights": "memory" if cold else "cache", "sessions": copies, **compared(runs, rounds)}


def bench_network(name: str, library: kernels.Library, rounds: int) -> dict:
    """One network: dense, all masks open, and random masks per sample at the operating point of the paper."""
    network, rng = models.NETWORKS[name](), np.random.default_rng(1)
    gated, dense = (
        rounded(onnx.load_from_string(make(network, np.random.default_rng(2))), network).SerializeToString()
        for make in (models.gated_network, models.dense_network)
    )
    plain = kernels.session(dense, None)
    sessions = {"float32": session_of(library, gated, FLOAT32), "bf16": session_of(library, gated, BF16)}
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    open_feeds = {"x": x, **models.network_masks(network, 1.0, rng)}
    keep = models.keep_for_cost(network, kernels.OPERATING_POINTS[name])
    samples = [{"x": x, **models.network_masks(network, keep, rng)} for _ in range(8)]
    for feeds in (open_feeds, *samples):
        require_same_bits(name, *(session.run(None, feeds)[0] for session in sessions.values()))
    kernels.require_equal(name, sessions["bf16"].run(None, open_feeds)[0], plain.run(None, {"x": x})[0])
    runs = {"dense": kernels.bound_run(plain, {"x": x})}
    for kind, session in sessions.items():
        runs[f"open {kind}"] = kernels.bound_run(session, open_feeds)
        runs[f"gated {kind}"] = in_turn([kernels.bound_run(session, feeds) for feeds in samples])
    cost = float(np.mean([models.network_cost(network, sample) for sample in samples]))
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
    args = kernels.command_line(__doc__).parse_args()

    library = kernels.Library(args.library, args.isa)
    report: dict = {**library.versions(), "rounds": args.rounds, "layers": [], "networks": []}
    print(f"{library.isa}, onnxruntime {ort.__version__}, one thread; float32, bf16, and how many times faster")
    if args.what in ("all", "layers"):
        for layer in LAYERS:
            for cold in (False, True) if args.only in layer.name else ():
                report["layers"].append(bench_layer(layer, library, cold, args.rounds))
                print_row(report["layers"][-1])
    if args.what in ("all", "networks"):
        for name in NETWORKS:
            if args.only in name:
                report["networks"].append(bench_network(name, library, args.rounds))
                print_row(report["networks"][-1])
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
