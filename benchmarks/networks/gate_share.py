"""The price of gates in whole networks: how much of their time computes gates, and how much of that is pooling.

    python -m benchmarks.networks.gate_share --rounds 31
    python -m benchmarks.networks.gate_share --only mobilenet-v2@96 --json gate_share.json

One network three times: gates computed, the same gates reading means of one pixel that are inputs, and masks as inputs.
The differences are the price of pooling and of the whole gate. The mask decides which channels are open, half of them,
another draw for each call; a gate costs the same whatever it decides.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.command_line import write_json
from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.graphs import gated_network
from benchmarks.networks.masks import network_masks
from benchmarks.networks.shapes import NETWORKS, Conv, Network
from benchmarks.sessions import Library, bound_run
from benchmarks.timing import in_turn, interleaved_seconds, spread
from benchmarks.yardsticks import started

DEFAULT = ("resnet18", "mobilenet-v2@224", "mobilenet-v2@96")
SAMPLES, KEEP = 8, 0.5


def computed(network: Network, pooled: bool) -> bytes:
    """The gated network whose layers compute their own gates; inputs `<layer>.mask` and, if not pooled, `<layer>.mean`.

    pooled: gates take the mean of the map that their layer reads, as in a bundle. Otherwise the mean is an input of one
    pixel. A layer that follows another one opens where that one does, by the nodes that the exporter writes.
    """
    model = onnx.load_from_string(gated_network(network, np.random.default_rng(2)))
    rng, nodes, constants, inputs = np.random.default_rng(3), [], {}, [model.graph.input[0]]
    outside = {value.name: value for value in model.graph.input}
    for node in model.graph.node:
        name, conv = node.output[0], network.nodes.get(node.output[0])
        if not isinstance(conv, Conv):
            nodes.append(node)
            continue
        width = conv.layer.c_out
        constants[f"{name}.bias"] = np.zeros(width, np.float32)
        if conv.mask == "own":
            if not pooled:
                inputs.append(helper.make_tensor_value_info(f"{name}.mean", 1, [1, conv.layer.c_in, 1, 1]))
            inputs.append(helper.make_tensor_value_info(f"{name}.mask", 1, [1, width]))
            nodes.append(_gate(name, conv, constants, rng, conv.source if pooled else f"{name}.mean"))
        elif conv.mask == "open":
            constants |= {
                f"{name}.scale": np.ones((1, width), np.float32),
                f"{name}.shift": np.zeros((1, width), np.float32),
            }
        else:
            nodes.append(helper.make_node("Sign", [f"{conv.mask}.scale"], [f"{name}.scale"]))
            nodes.append(helper.make_node("Mul", [f"{name}.scale", f"{name}.bias"], [f"{name}.shift"]))
        inputs.append(outside[f"{name}.active"])
        nodes.append(node)
    weights = [*model.graph.initializer, *(numpy_helper.from_array(value, key) for key, value in constants.items())]
    model.graph.CopyFrom(helper.make_graph(nodes, "gates", inputs, list(model.graph.output), weights))
    return bytes(model.SerializeToString())


def _gate(name: str, conv: Conv, constants: dict, rng: np.random.Generator, source: str) -> onnx.NodeProto:
    """A saliency module of the published size whose saliencies are near 1: the mask decides."""
    c_in, c_out = conv.layer.c_in, conv.layer.c_out
    hidden = max(4, c_in // 16)
    constants |= {
        f"{name}.w1": (0.1 * rng.standard_normal((hidden, c_in)) / np.sqrt(c_in)).astype(np.float32),
        f"{name}.b1": np.zeros(hidden, np.float32),
        f"{name}.w2": (0.1 * rng.standard_normal((c_out, hidden)) / np.sqrt(hidden)).astype(np.float32),
        f"{name}.b2": np.ones(c_out, np.float32),
    }
    inputs = [source, *(f"{name}.{key}" for key in ("w1", "b1", "w2", "b2", "bias", "mask"))]
    return helper.make_node(
        "SanpChannelGate", inputs, [f"{name}.scale", f"{name}.shift"], domain="sanp", threshold=0.0, k=0
    )


def samples(network: Network) -> list[dict[str, np.ndarray]]:
    """Inputs of all three forms of the network, for `SAMPLES` draws of masks."""
    rng = np.random.default_rng(1)
    x, found = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32), []
    for _ in range(SAMPLES):
        masks = network_masks(network, KEEP, rng)
        means = {f"{k}.mean": np.ones((1, c.layer.c_in, 1, 1), np.float32) for k, c in network.convs.items()}
        found.append({"x": x, **masks, **means, **{f"{k}.mask": masks[f"{k}.scale"] for k in network.convs}})
    return found


def measure(name: str, library: Library, rounds: int) -> dict[str, Any]:
    """One network: the three times, and the shares of the first."""
    network = (NETWORKS | EDGE_NETWORKS)[name]()
    feeds, runs = samples(network), []
    for model in (computed(network, True), computed(network, False), gated_network(network, np.random.default_rng(2))):
        made = library.session(model)
        wanted = [value.name for value in made.get_inputs()]
        runs.append(in_turn([bound_run(made, {key: feed[key] for key in wanted}) for feed in feeds]))
    gates, means, masks = times = interleaved_seconds(runs, rounds)
    share = {
        "gate": statistics.median(1 - without / whole for whole, without in zip(gates, masks)),
        "pooling": statistics.median(1 - without / whole for whole, without in zip(gates, means)),
    }
    count = sum(conv.mask == "own" for conv in network.convs.values())
    sides = dict(zip(("gates", "means", "masks"), map(spread, times)))
    return {"name": name, "gates": count, "share": share, **{f"{side}_time": value for side, value in sides.items()}}


def line(row: dict[str, Any]) -> str:
    """One line of the table."""
    times = "  ".join(
        f"{side} {row[f'{side}_time']['median_us'] / 1e3:6.3f} ms" for side in ("gates", "means", "masks")
    )
    share = "  ".join(f"{part} {value:.1%}" for part, value in row["share"].items())
    return f"{row['name']:<18} {row['gates']:3} gates  {times}  {share}"


def main() -> int:
    """Command line."""
    args, library, report = started(__doc__)
    rows: list[dict[str, Any]] = []
    for name in NETWORKS | EDGE_NETWORKS:
        if name in DEFAULT if not args.only else args.only in name:
            rows.append(measure(name, library, args.rounds))
            print(line(rows[-1]), flush=True)
    write_json(args.json, {**report, "networks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
