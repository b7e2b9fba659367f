"""Compare two builds of the operator library over whole networks: is B as fast as A?

    python -m benchmarks.networks.compare OLD.so NEW.so --rounds 61
    python -m benchmarks.networks.compare OLD.so NEW.so --only resnet18 --json compare.json
    python -m benchmarks.networks.compare OLD.so NEW.so --edge --only mobilenet-v2@

Networks, masks and clock are those of gated.py: one thread, batch 1, all masks open and masks at the paper's cost. Both
builds run in one process, interleaved. Two equal sessions differ by 1 to 2 % for as long as they live, because their
memory lies differently. So several pairs are made, in alternating order, and the spread of their ratios is shown. To
see how far equal builds are apart, compare a library with a copy of itself.

Before it is timed, every session is shown to run its own library (own_code.py), and the answers of both are compared.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import at_least_two, json_parser, write_json
from benchmarks.machine import describe
from benchmarks.networks import graphs
from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.gated import masked_samples
from benchmarks.networks.masks import network_masks
from benchmarks.networks.own_code import require_own_code
from benchmarks.networks.shapes import NETWORKS
from benchmarks.sessions import bound_run, digest, library_path, require_close, session
from benchmarks.timing import Run, in_turn, interleaved_seconds

SIDES = ("A", "B")
CASES = ("open", "gated")


def pair_of_runs(name: str, libraries: dict[str, Path], order: list[str]) -> dict[tuple[str, str], Run]:
    """New sessions of both builds, made in this order, proven and checked; a function by side and case."""
    network, rng = (NETWORKS | EDGE_NETWORKS)[name](), np.random.default_rng(1)
    model = graphs.gated_network(network, np.random.default_rng(2), fused=True)
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    open_feeds = {"x": x, **network_masks(network, 1.0, rng)}
    samples = masked_samples(name, network, x, rng)[1]
    sessions = {side: session(model, libraries[side]) for side in order}
    for side in SIDES:
        require_own_code(bound_run(sessions[side], samples[0]), libraries, side)
    for feeds in (open_feeds, *samples):
        first, second = (sessions[side].run(None, feeds)[0] for side in SIDES)
        require_close(f"{name}: B against A", second, first)
    runs: dict[tuple[str, str], Run] = {}
    for side in SIDES:
        runs[side, "open"] = bound_run(sessions[side], open_feeds)
        runs[side, "gated"] = in_turn([bound_run(sessions[side], feeds) for feeds in samples])
    return runs


def compare(name: str, libraries: dict[str, Path], rounds: int, pairs: int) -> dict[str, Any]:
    """One network: by case the medians of both builds, and B over A by round in the median of every pair."""
    times: dict[tuple[str, str], list[list[float]]] = {}
    for pair in range(pairs):
        order = list(SIDES) if pair % 2 == 0 else list(SIDES)[::-1]
        runs = pair_of_runs(name, libraries, order)
        keys = [(side, case) for case in CASES for side in order]
        for key, measured in zip(keys, interleaved_seconds([runs[key] for key in keys], rounds)):
            times.setdefault(key, []).append(measured)
    row: dict[str, Any] = {"name": name}
    for case in CASES:
        ratios = [statistics.median(b / a for a, b in zip(*both)) for both in zip(times["A", case], times["B", case])]
        medians = {side: statistics.median(itertools.chain(*times[side, case])) * 1e6 for side in SIDES}
        row[case] = {"median_us": medians, "ratio": statistics.median(ratios), "ratio_per_pair": ratios}
    return row


def line(row: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [f"{row['name']:<12}"]
    for case in CASES:
        found = row[case]
        a, b = (found["median_us"][side] / 1e3 for side in SIDES)
        low, high = min(found["ratio_per_pair"]), max(found["ratio_per_pair"])
        cells.append(f"{case} A {a:6.3f} ms  B {b:6.3f} ms  B/A {found['ratio']:.3f} ({low:.3f} to {high:.3f})")
    return "  ".join(cells)


def main() -> int:
    """Command line."""
    parser = json_parser(__doc__)
    parser.add_argument("a", type=Path, help="operator library A, such as the one from before a change")
    parser.add_argument("b", type=Path, help="operator library B")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--edge", action="store_true", help="networks of the edge, half of the gated channels open")
    parser.add_argument("--rounds", type=at_least_two, default=25, help="rounds of every pair of sessions")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of sessions")
    args = parser.parse_args()

    libraries = dict(zip(SIDES, (library_path(args.a), library_path(args.b))))
    if libraries["A"].samefile(libraries["B"]):
        raise SystemExit(f"{args.b}: is the same file as A, expected another build; to compare it with itself, copy it")
    report: dict[str, Any] = {
        "machine": describe("numpy", "onnxruntime"),
        "libraries": {side: {"file": path.name, "sha256": digest(path)} for side, path in libraries.items()},
        "rounds": args.rounds,
        "pairs": args.pairs,
        "networks": [],
    }
    for name in EDGE_NETWORKS if args.edge else NETWORKS:
        if args.only in name:
            report["networks"].append(compare(name, libraries, args.rounds, args.pairs))
            print(line(report["networks"][-1]), flush=True)
    write_json(args.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
