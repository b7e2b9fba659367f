"""Time convolutions whose pixels are gated (Channel Gating): our kernel against ONNX Runtime's dense convolution.

    python -m benchmarks.kernels.pixels
    python -m benchmarks.kernels.pixels --only resnet18 --json pixels.json

The short path reads a quarter of the inputs. Open pixels are those with the largest short path, equally many in every
channel, on random inputs, so they lie scattered. Also timed: the function body of the same node, which is what plain
ONNX Runtime runs. One process, one thread, interleaved; answers are compared before they are timed.
"""

from __future__ import annotations

import statistics
import sys

import numpy as np
from onnx import helper, load_from_string

from benchmarks.command_line import write_json
from benchmarks.networks import graphs
from benchmarks.networks.resnets import every_layer
from benchmarks.networks.shapes import Layer
from benchmarks.sessions import Library, bound_run, require_close, session
from benchmarks.timing import interleaved_seconds, spread
from benchmarks.yardsticks import started
from sanp_export.functions import pixel_gated_conv_function

PARTS = 4
OPEN = (0.0, 0.05, 0.13, 0.25, 0.5, 1.0)  # 0.13 makes 35 % of the MACs


def _convolution(layer: Layer, weights: np.ndarray, group: int) -> bytes:
    """A standard convolution without activation."""
    conv = {"strides": [layer.stride] * 2, "pads": [layer.pad] * 4, "kernel_shape": [layer.kernel] * 2, "group": group}
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **conv)]
    return graphs.model_bytes(nodes, [("x", [1, layer.c_in, layer.size, layer.size])], "y", {"w": weights})


def _gated(layer: Layer, weights: np.ndarray, base_weights: np.ndarray, function: bool) -> bytes:
    """One node; the bound is an input, so that a session serves every share of open pixels."""
    constants = {"w": weights, "w_base": base_weights, "scale": np.ones(layer.c_out, np.float32),
                 "shift": np.zeros(layer.c_out, np.float32)}  # fmt: skip
    node = helper.make_node(
        "SanpPixelGatedConv", ["x", "w", "w_base", "bound", "scale", "shift"], ["y"], domain="sanp",
        strides=[layer.stride] * 2, pads=[layer.pad] * 4, dilations=[1, 1], parts=PARTS,
    )  # fmt: skip
    inputs = [("x", [1, layer.c_in, layer.size, layer.size]), ("bound", [layer.c_out])]
    model = load_from_string(graphs.model_bytes([node], inputs, "y", constants))
    if function:
        model.functions.append(pixel_gated_conv_function())
    return bytes(model.SerializeToString())


def bench_layer(layer: Layer, library: Library, rounds: int) -> dict:
    """One layer: dense, the function body, and the kernel at every share of open pixels."""
    rng = np.random.default_rng(1)
    weights = graphs.random_weights(layer, rng)
    rows, columns = layer.c_out // PARTS, layer.c_in // PARTS
    base_weights = np.concatenate(
        [weights[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] for g in range(PARTS)]
    )
    x = rng.standard_normal((1, layer.c_in, layer.size, layer.size), dtype=np.float32)
    dense = session(_convolution(layer, weights, 1))
    whole = dense.run(None, {"x": x})[0][0]
    base = session(_convolution(layer, base_weights, PARTS)).run(None, {"x": x})[0][0]
    ordered = np.sort(base.reshape(layer.c_out, -1), axis=1)
    pixels = ordered.shape[1]
    gated, plain = (
        library.session(_gated(layer, weights, base_weights, False)),
        session(_gated(layer, weights, base_weights, True)),
    )
    runs, shares = [bound_run(dense, {"x": x})], []
    for share in OPEN:
        closed = pixels - round(share * pixels)
        below = ordered[:, closed - 1] if closed else np.full(layer.c_out, -np.inf, np.float32)
        above = ordered[:, closed] if closed < pixels else np.full(layer.c_out, np.inf, np.float32)
        bound = np.where(np.isinf(below) | np.isinf(above), np.where(closed, np.inf, -np.inf), (below + above) / 2)
        feeds = {"x": x, "bound": bound.astype(np.float32)}
        opened = base > feeds["bound"][:, None, None]
        # A pixel whose decision lies within rounding may fall on either side.
        clear = np.abs(base - feeds["bound"][:, None, None]) > 1e-5
        require_close(f"{layer.name} open {share}", np.where(clear, gated.run(None, feeds)[0][0], 0),
                      np.where(clear, np.where(opened, whole, base), 0))  # fmt: skip
        runs.append(bound_run(gated, feeds))
        shares.append(float(opened.mean()))
    runs.append(bound_run(plain, feeds))
    times = interleaved_seconds(runs, rounds)
    dense_s = statistics.median(times[0])
    cells = [
        {"open": share, "macs": 1 / PARTS + (1 - 1 / PARTS) * share, **spread(row),
         "speedup": dense_s / statistics.median(row)}
        for share, row in zip(shares, times[1:-1])
    ]  # fmt: skip
    function = {**spread(times[-1]), "speedup": dense_s / statistics.median(times[-1])}
    return {"name": layer.name, "macs": layer.macs, "dense": spread(times[0]), "gated": cells, "function": function}


def line(row: dict) -> str:
    """One line of the table."""
    cells = "  ".join(f"{g['open']:.2f} {g['median_us']:7.1f} us {g['speedup']:4.2f}x" for g in row["gated"])
    return (
        f"{row['name']:<22} dense {row['dense']['median_us']:7.1f} us | open {cells} | "
        f"function {row['function']['speedup']:4.2f}x"
    )


def main() -> int:
    """Command line."""
    args, library, report = started(__doc__)
    rows: list[dict] = []
    for layer, networks in every_layer().items():
        divisible = layer.group == 1 and not layer.c_in % PARTS and not layer.c_out % PARTS
        if divisible and any(args.only in name for name in (layer.name, *networks)):
            rows.append({**bench_layer(layer, library, args.rounds), "networks": networks})
            print(line(rows[-1]), flush=True)
    write_json(args.json, {**report, "parts": PARTS, "layers": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
