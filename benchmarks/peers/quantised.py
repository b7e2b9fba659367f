"""A controlled network on bytes, by the passes of `sanp compile --int8`, and the ranges that these need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from benchmarks.peers.controlled import with_functions
from benchmarks.sessions import session
from sanp_export.graph.byte_steps import ranged_tensors, step_of
from sanp_export.graph.patterns import gated_convs, layer_of
from sanp_export.passes.always_open import always_open
from sanp_export.passes.quantise_layers import quantise_layers


def on_bytes(model: onnx.ModelProto, feeds: Sequence[dict[str, np.ndarray]]) -> onnx.ModelProto:
    """A controlled network with every gated layer on bytes, and those that no gate reaches as open layers with them.

    feeds: inputs of `model`, whose feature maps give the ranges.
    """
    graph = gs.import_onnx(model)
    always_open(graph)
    names = [tensor.name for tensor in ranged_tensors(graph)]
    steps = {name: step_of(low, high) for name, (low, high) in _ranges(model, names, feeds).items()}
    quantise_layers(graph, [layer_of(conv) for conv in gated_convs(graph)], steps)
    made = gs.export_onnx(graph, do_type_check=False)
    made.ir_version = model.ir_version
    return made


def _ranges(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[dict[str, np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of these feature maps, in plain ONNX Runtime."""
    inside = [name for name in names if name != "x"]
    oracle = with_functions(model)
    known = {output.name for output in oracle.graph.output}
    oracle.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside if name not in known)
    plain = session(oracle.SerializeToString())
    ranges = dict.fromkeys(names, (np.inf, -np.inf))
    for feed in feeds:
        for name, values in {"x": feed["x"], **dict(zip(inside, plain.run(inside, feed)))}.items():
            if name in ranges:
                low, high = ranges[name]
                ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges
