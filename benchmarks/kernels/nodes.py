"""What one node costs: chains of SanpGatedConv and SanpChannelGate, one node subtracted from forty-one.

    python -m benchmarks.kernels.nodes [--library PATH]

The convolutions have one channel and one pixel, so their time is the call; the gates come in the sizes of real layers.
Processor time of one thread; the tenth percentile of 60 rounds, because other load only ever adds.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np
from onnx import helper

from benchmarks.command_line import json_parser, write_json
from benchmarks.networks.graphs import model_bytes
from benchmarks.sessions import Library, bound_run

LENGTH = 41
ROUNDS, REPEATS = 60, 5
GATES = ((1, 1, 1), (64, 32, 16), (128, 16, 32), (256, 8, 64), (512, 4, 128))  # channels, map size, hidden units


def chain(kind: str, length: int, channels: int, size: int, hidden: int) -> bytes:
    """`length` nodes of a kind, each depending on the one before it."""
    row, column = np.ones((1, channels), np.float32), np.zeros(channels, np.float32)
    constants = {
        "w": np.ones((channels, channels, 1, 1), np.float32), "scale": row, "shift": 0 * row, "active": row,
        "zero": np.zeros(1, np.float32), "w1": np.full((hidden, channels), 0.01, np.float32),
        "b1": np.zeros(hidden, np.float32), "w2": np.full((channels, hidden), 0.01, np.float32), "b2": column + 1,
        "bias": column, "mask": row,
    }  # fmt: skip
    nodes, source = [], "mask" if kind == "SanpChannelGate" else "x"
    for i in range(length):
        output = f"y{i}"
        if kind == "SanpGatedConv":
            nodes.append(helper.make_node(
                kind, [source, "w", "scale", "shift", "active", "zero"], [output], domain="sanp", strides=[1, 1],
                pads=[0] * 4, dilations=[1, 1], group=1, act_min=0.0, act_max=math.inf,
            ))  # fmt: skip
        elif kind == "SanpChannelGate":  # the scale of one gate is the mask of the next
            inputs = ["x", "w1", "b1", "w2", "b2", "bias", source]
            nodes.append(helper.make_node(kind, inputs, [output, f"s{i}"], domain="sanp", threshold=0.0, k=0))
        else:
            nodes.append(helper.make_node(kind, [source], [output]))
        source = output
    return model_bytes(nodes, [("x", [1, channels, size, size])], source, constants)


def seconds(library: Library, kind: str, length: int, channels: int, size: int, hidden: int) -> float:
    """Of one inference, tenth percentile."""
    session = library.session(chain(kind, length, channels, size, hidden))
    run = bound_run(session, {"x": np.ones((1, channels, size, size), np.float32)})
    run()
    times = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(REPEATS):
            run()
        times.append((time.thread_time() - begin) / REPEATS)
    return sorted(times)[ROUNDS // 10]


def main() -> int:
    """Command line."""
    options = json_parser(__doc__)
    options.add_argument("--library", type=Path, help="operator library; default: the one of this installation")
    args = options.parse_args()
    library, rows = Library(args.library), []
    cases = [("Tanh", (1, 1, 1)), ("SanpGatedConv", (1, 1, 1)), *(("SanpChannelGate", gate) for gate in GATES)]
    for kind, (channels, size, hidden) in cases:
        one, many = (seconds(library, kind, length, channels, size, hidden) for length in (1, LENGTH))
        cost = (many - one) / (LENGTH - 1) * 1e6
        rows.append({"node": kind, "channels": channels, "map": size, "hidden": hidden, "us": cost})
        print(f"{kind:<16} {channels:4d} channels @{size}, hidden {hidden}: {cost:6.2f} us", flush=True)
    write_json(args.json, {**library.origin(), "nodes": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
