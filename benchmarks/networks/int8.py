"""Time whole gated int8 networks against dense and narrowed int8 ones of ONNX Runtime, and against float32.

    python -m benchmarks.networks.int8 --rounds 41
    python -m benchmarks.networks.int8 --only resnet18 --json int8.json

M-CifarNet, VGG-19 and ResNet-18 at full width for 32 x 32 images, random weights, masks that match the paper's
multiply-adds, one per sample and layer; masks are inputs, no gate is computed. The rivals are quantised by ONNX
Runtime's own tool (Q/DQ, per channel); the narrowed network has the multiply-adds of the masks. One thread, in turn.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from benchmarks.command_line import kernel_parser, write_json
from benchmarks.networks import graphs, int8_graphs
from benchmarks.networks.gated import masked_samples
from benchmarks.networks.masks import network_cost, network_masks
from benchmarks.networks.shapes import NETWORKS, OPERATING_POINTS, Network
from benchmarks.peers.networks import dense
from benchmarks.peers.prepare import EVEN_MULTIPLE, quantise
from benchmarks.peers.widths import narrowed
from benchmarks.sessions import Library, bound_run, session
from benchmarks.timing import in_turn, interleaved_seconds, spread

MOST_ERROR = 0.1  # relative, root mean square, of the logits: what eight bits may cost here
COLUMNS = ("float_dense", "float_gated", "dense", "open", "gated", "narrowed")


def reached(network: Network, library: Library, samples: list[dict]) -> dict[str, float]:
    """The magnitude that the image and the output of every convolution reach in the float network."""
    model = int8_graphs.with_every_tensor(graphs.gated_network(network, np.random.default_rng(2)), network)
    floats = library.session(model)
    names = [output.name for output in floats.get_outputs()]
    largest = {"x": max(float(np.abs(sample["x"]).max()) for sample in samples)}
    for sample in samples:
        for name, value in zip(names, floats.run(None, sample)):
            largest[name] = max(largest.get(name, 1e-6), float(np.abs(value).max()))
    return largest


def require_near(name: str, ours: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Relative error of the logits; SystemExit for more than eight bits can cause."""
    error = float(np.sqrt(np.mean((np.array(ours) - truth) ** 2) / np.mean(np.array(truth) ** 2)))
    if not error < MOST_ERROR:
        raise SystemExit(f"{name}: logits are off by {error:.1%} of float32; expected less than {MOST_ERROR:.0%}")
    return error


def bench_network(name: str, library: Library, rounds: int, folder: Path) -> dict:
    """One network: six columns, ratios, and what eight bits cost in the logits."""
    network, rng = NETWORKS[name](), np.random.default_rng(1)
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    keep, samples = masked_samples(name, network, x, rng)
    whole = {"x": x, **network_masks(network, 1.0, rng)}
    cost = float(np.mean([network_cost(network, sample) for sample in samples]))
    floats = library.session(graphs.gated_network(network, np.random.default_rng(2)))
    int8 = {
        key: library.session(
            int8_graphs.gated_network(network, np.random.default_rng(2), reached(network, library, feeds))
        )
        for key, feeds in (("gated", samples), ("open", [whole]))
    }
    error = require_near(
        name, [int8["gated"].run(None, s)[0] for s in samples], [floats.run(None, s)[0] for s in samples]
    )
    require_near(name, [int8["open"].run(None, whole)[0]], [floats.run(None, whole)[0]])
    narrow = narrowed(network, cost, EVEN_MULTIPLE)
    rivals = {
        key: session(quantise(dense(form), folder / f"{name}-{key}.onnx", network.size).SerializeToString())
        for key, form in (("dense", network), ("narrowed", narrow))
    }
    float_dense = session(graphs.dense_network(network, np.random.default_rng(2)))
    runs = {
        "float_dense": bound_run(float_dense, {"x": x}),
        "float_gated": in_turn([bound_run(floats, sample) for sample in samples]),
        "dense": bound_run(rivals["dense"], {"x": x}),
        "open": bound_run(int8["open"], whole),
        "gated": in_turn([bound_run(int8["gated"], sample) for sample in samples]),
        "narrowed": bound_run(rivals["narrowed"], {"x": x}),
    }
    times = dict(zip(COLUMNS, interleaved_seconds([runs[key] for key in COLUMNS], rounds)))
    medians = {key: statistics.median(measured) for key, measured in times.items()}
    return {
        "name": name, "keep": keep, "cost": cost, "narrowed_cost": narrow.macs / network.macs, "logit_error": error,
        **{key: spread(measured) for key, measured in times.items()},
        "dense_over_gated": medians["dense"] / medians["gated"],
        "gated_over_narrowed": medians["gated"] / medians["narrowed"],
        "open_over_dense": medians["open"] / medians["dense"],
        "float_gated_over_gated": medians["float_gated"] / medians["gated"],
    }  # fmt: skip


def line(row: dict) -> str:
    """One line of the table, times in milliseconds."""
    cells = "  ".join(f"{key} {row[key]['median_us'] / 1e3:6.3f}" for key in COLUMNS)
    return (
        f"{row['name']:<11} {row['cost']:.1%}  {cells}  dense/gated {row['dense_over_gated']:.2f}"
        f"  gated/narrowed {row['gated_over_narrowed']:.2f}  open/dense {row['open_over_dense']:.2f}"
        f"  logits off by {row['logit_error']:.1%}"
    )


def main() -> int:
    """Command line."""
    args = kernel_parser(__doc__).parse_args()
    library = Library(args.library, args.isa)
    print(library.text)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in OPERATING_POINTS:
            if args.only in name:
                rows.append(bench_network(name, library, args.rounds, Path(folder)))
                print(line(rows[-1]), flush=True)
    write_json(args.json, {**library.origin(), "onnx": onnx.__version__, "networks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
