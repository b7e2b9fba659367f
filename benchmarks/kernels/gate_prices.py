"""What a gate costs and how fast convolutions of each kind are: the numbers behind `sanp.gate(..., layers="auto")`.

    python -m benchmarks.kernels.gate_prices --target x86-cpu --json toolchain/sanp/cost/gate_rates.json

Gates of the sizes of real layers are timed as in nodes.py and fitted by gate_us + pool_ns * elements + fc_ns * MACs.
Convolutions run with every channel open as in layers.py; a kind has the median rate of its layers.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np

from benchmarks.command_line import write_json
from benchmarks.kernels.layers import bench_layer
from benchmarks.kernels.nodes import LENGTH, seconds
from benchmarks.networks.shapes import Layer
from benchmarks.yardsticks import started

# Channels, map size, hidden units.
GATES = (
    (16, 2, 4), (32, 112, 4), (16, 112, 4), (24, 56, 4), (96, 28, 6), (40, 28, 4), (240, 14, 15), (480, 14, 30),
    (112, 14, 7), (192, 7, 12), (672, 7, 42), (1152, 7, 72),
)  # fmt: skip
LAYERS = {
    "pointwise": (Layer(16, 96, 112, 1, 1, 0), Layer(144, 24, 56, 1, 1, 0), Layer(40, 240, 28, 1, 1, 0),
                  Layer(480, 112, 14, 1, 1, 0), Layer(192, 1152, 7, 1, 1, 0)),
    "spatial": (Layer(64, 64, 56), Layer(128, 128, 28), Layer(256, 256, 14), Layer(32, 32, 32)),
    "grouped": (Layer(128, 128, 28, group=16), Layer(256, 256, 14, group=32)),
    "depthwise": (Layer(96, 96, 112, 3, 2, 1, 96), Layer(144, 144, 56, 3, 1, 1, 144), Layer(240, 240, 28, 5, 1, 2, 240),
                  Layer(480, 480, 14, 3, 1, 1, 480), Layer(1152, 1152, 7, 5, 1, 2, 1152)),
}  # fmt: skip


def fitted(rows: list[tuple[int, int, int, float]]) -> tuple[float, float, float]:
    """Microseconds of the call, per element of the map, and per MAC; rows: channels, map size, hidden units, seconds.

    Least squares of relative errors, so that small gates count as much as large ones.
    """
    factors = np.array([(1.0, c * size * size, 2.0 * c * hidden) for c, size, hidden, _ in rows])
    times = np.array([row[3] for row in rows]) * 1e6
    answer, *_ = np.linalg.lstsq(factors / times[:, None], np.ones(len(rows)), rcond=None)
    return tuple(float(max(value, 0.0)) for value in answer)  # type: ignore[return-value]


def measure(library: Any, rounds: int) -> dict[str, Any]:
    """The numbers of this machine."""

    def node(kind: str, case: tuple[int, int, int]) -> float:
        one, many = (seconds(library, kind, length, *case) for length in (1, LENGTH))
        return (many - one) / (LENGTH - 1)

    rows = [(*case, node("SanpChannelGate", case)) for case in GATES]
    call, pool, fc = fitted(rows)
    for channels, size, hidden, time in rows:
        model = call + pool * channels * size**2 + fc * 2 * channels * hidden
        print(f"gate {channels:5} @{size:<4} {time * 1e6:7.2f} us, model {model:7.2f}", flush=True)
    rates = {}
    for kind, layers in LAYERS.items():
        found = [bench_layer(layer, library, None, rounds, None)["gated"][0]["gflops"] for layer in layers]
        rates[kind] = round(statistics.median(found), 1)
        print(f"{kind}: {', '.join(f'{rate:.0f}' for rate in found)} GFLOP/s", flush=True)
    follow = 2 * node("Sign", (1, 1, 1)) * 1e6  # one node for the 0 or 1, one for the shift
    return {"gate_us": round(call, 2), "pool_ns": round(1e3 * pool, 4), "fc_ns": round(1e3 * fc, 4),
            "follow_us": round(follow, 2), "gflops": rates}  # fmt: skip


def main() -> int:
    """Command line."""
    args, library, report = started(
        __doc__, lambda made: made.add_argument("--target", default="x86-cpu", help="whose numbers these are")
    )
    row = {**measure(library, min(args.rounds, 9)), "machine": report["machine"], "library": report["library"]}
    write_json(args.json, {"command": "python -m benchmarks.kernels.gate_prices", "targets": {args.target: row}})
    print({key: value for key, value in row.items() if key not in ("machine", "library")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
