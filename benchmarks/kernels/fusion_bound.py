"""The most that fusing the three layers of an inverted residual block could gain.

    python -m benchmarks.kernels.fusion_bound --rounds 15

Expansion, depthwise layer and projection run one after the other on a whole map, as they do in a network, and on strips
of so few rows that everything between them stays in the second-level cache. As many strips as the map has, without what
calling them costs, take what a fused kernel could take at best: it would still load its input, store its output and
compute the rows at the border of two strips.
"""

from __future__ import annotations

import math
import statistics
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import helper

from benchmarks.command_line import write_json
from benchmarks.networks.graphs import model_bytes, random_weights
from benchmarks.networks.masks import random_mask
from benchmarks.networks.shapes import Layer
from benchmarks.sessions import Library, bound_run
from benchmarks.timing import Run, in_turn, interleaved_seconds
from benchmarks.yardsticks import started

# Map size, channels, stride: blocks of MobileNetV2 at 224 and at 96.
BLOCKS = ((112, (16, 96, 24), 2), (56, (24, 144, 24), 1), (48, (16, 96, 24), 2), (24, (24, 144, 24), 1))
ROWS = (2, 4, 8, 12, 14)  # of a strip, where the map is a multiple of them
KEEPS = (1.0, 0.5)
MASKS = 8  # for half-open blocks, one after the other


def block(height: int, width: int, channels: tuple[int, int, int], stride: int) -> bytes:
    """The three gated layers on a map of this size; masks are inputs, and one gate decides for the first two."""
    c_in, hidden, c_out = channels
    rng = np.random.default_rng(0)
    layers = {
        "expand": Layer(c_in, hidden, width, 1, 1, 0),
        "depthwise": Layer(hidden, hidden, width, 3, stride, 1, hidden),
        "project": Layer(hidden, c_out, width, 1, 1, 0),
    }
    masks = {"expand": ("gate", "closed", "all"), "depthwise": ("gate", "closed", "gate"),
             "project": ("ones", "zeros", "gate")}  # fmt: skip
    constants = {f"{name}.w": random_weights(layer, rng) for name, layer in layers.items()}
    constants |= {"closed": np.zeros((1, hidden), np.float32), "all": np.ones((1, c_in), np.float32),
                  "ones": np.ones((1, c_out), np.float32), "zeros": np.zeros((1, c_out), np.float32),
                  "zero": np.zeros(1, np.float32)}  # fmt: skip
    nodes, source = [], "x"
    for name, layer in layers.items():
        scale, shift, active = masks[name]
        nodes.append(helper.make_node(
            "SanpGatedConv", [source, f"{name}.w", scale, shift, active, "zero"], [name], domain="sanp",
            strides=[layer.stride] * 2, pads=[layer.pad] * 4, dilations=[1, 1], group=layer.group,
            act_min=-math.inf if name == "project" else 0.0, act_max=math.inf,
        ))  # fmt: skip
        source = name
    return model_bytes(nodes, [("x", [1, c_in, height, width]), ("gate", [1, hidden])], source, constants)


def run_of(session: ort.InferenceSession, height: int, width: int, channels: tuple[int, int, int], keep: float) -> Run:
    """Calls of a block with another mask each."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, channels[0], height, width), dtype=np.float32)
    return in_turn([bound_run(session, {"x": x, "gate": random_mask(channels[1], keep, rng)}) for _ in range(MASKS)])


def measure(library: Library, size: int, channels: tuple[int, int, int], stride: int, rounds: int) -> dict[str, Any]:
    """Microseconds of a block: whole, and as strips of every height without the price of their calls."""
    heights = [size, *(rows for rows in ROWS if size % rows == 0 and rows < size)]
    sessions = {rows: library.session(block(rows, size, channels, stride)) for rows in heights}
    tiny = library.session(block(2, 2, (1, 1, 1), 2))
    kept = []
    for keep in KEEPS:
        runs = [run_of(tiny, 2, 2, (1, 1, 1), keep)]
        runs += [run_of(sessions[rows], rows, size, channels, keep) for rows in heights]
        call, whole, *strips = (statistics.median(times) * 1e6 for times in interleaved_seconds(runs, rounds))
        totals = {rows: size // rows * (us - call) for rows, us in zip(heights[1:], strips)}
        best = min(totals, key=lambda rows: totals[rows])
        kept.append({"keep": keep, "call_us": call, "whole_us": whole - call, "strips_us": totals, "best_rows": best,
                     "most": (whole - call) / totals[best]})  # fmt: skip
    return {"map": size, "channels": channels, "stride": stride, "kept": kept}


def lines(row: dict[str, Any]) -> list[str]:
    """The lines of one block."""
    name = f"{'-'.join(map(str, row['channels']))}/{row['stride']} @{row['map']}"
    return [
        f"{name:<16} keep {found['keep']:.1f}  whole {found['whole_us']:7.1f} us  strips of "
        + ", ".join(f"{rows} rows {us:.1f}" for rows, us in found["strips_us"].items())
        + f"  at most {found['most']:.2f}x"
        for found in row["kept"]
    ]


def main() -> int:
    """Command line."""
    args, library, report = started(__doc__)
    rows: list[dict[str, Any]] = []
    for size, channels, stride in BLOCKS:
        rows.append(measure(library, size, channels, stride, args.rounds))
        print(*lines(rows[-1]), sep="\n", flush=True)
    write_json(args.json, {**report, "blocks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
