"""The layer table of an exported graph: what the runtime needs to count MACs and to name gates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import GATE_W1, SCALE, WEIGHT, X, constant, layer_of
from sanp_export.graph.shared_gates import follows, outputs_of
from sanp_export.graph.trace_support import SupportTrace
from sanp_runtime.contract import CHANNEL_GATE, GATED_CONV, PIXEL_GATED_CONV
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense
from sanp_targets.errors import ExportError

_OURS = (GATED_CONV, PIXEL_GATED_CONV)


def layer_table(graph: gs.Graph, sizes: Mapping[str, tuple[int, int]] | None = None) -> tuple[Layer, ...]:
    """Convolutions and linear layers in graph order, gated or not, with the support of their inputs.

    sizes: layer -> height and width of its output, for a graph whose images have any size; else the graph says them.

    Only layers with weights are counted, as everywhere in the literature: a product of two activations (attention) is
    not, and neither is a one-dimensional convolution. Raises ExportError for a convolution whose weights are computed.
    """
    trace = SupportTrace()
    found = [_row(node, trace, sizes) for node in graph.nodes if node.op in (*_OURS, "Conv", "Gemm", "MatMul")]
    rows = [row for row in found if row is not None]
    repeated = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if repeated:
        raise ExportError(
            f"layers {repeated[:3]} have their name more than once, expected one name per layer; give modules and "
            "parameters other names"
        )
    return tuple(rows)


def _row(node: gs.Node, trace: SupportTrace, sizes: Mapping[str, tuple[int, int]] | None) -> Layer | None:
    weight = constant(node.inputs[WEIGHT])
    if weight is None and node.op in ("Gemm", "MatMul"):
        return None
    if weight is None:
        raise ExportError(f"{node.name}: its weights are computed at run time, expected constants; MACs are undefined")
    if node.op == "Conv" and weight.ndim != 4:
        return None
    if node.op in ("Gemm", "MatMul"):
        return _linear_row(node, weight.shape, trace, sizes)
    groups = int(node.attrs.get("group", 1))
    masked = node.op == GATED_CONV
    gated = masked and not follows(node)
    name = layer_of(node) if node.op in _OURS else module_name(node)
    out_hw = _size(name, sizes) if sizes is not None else tuple(map(int, node.outputs[0].shape[2:4]))
    return Layer(
        name=name,
        c_in=int(weight.shape[1]) * groups,
        c_out=int(weight.shape[0]),
        out_hw=(out_hw[0], out_hw[1]),
        kernel=(int(weight.shape[2]), int(weight.shape[3])),
        groups=groups,
        gated=gated,
        gate_hidden=_gate_hidden(node) if gated else 0,
        gate_direct=gated and _gate_is_direct(node),
        follows=outputs_of(node) if masked and not gated else None,
        head=not masked and out_hw == (1, 1) and _is_head(node),
        support=trace.of(node.inputs[X]),
    )


def _linear_row(
    node: gs.Node, shape: tuple[int, ...], trace: SupportTrace, sizes: Mapping[str, tuple[int, int]] | None
) -> Layer:
    """A 1x1 convolution on as many positions as it has rows; features beyond axis 1 are not channels, so dense."""
    transposed = bool(node.attrs.get("transB", 0))
    c_out, c_in = (shape[0], shape[1]) if transposed else (shape[1], shape[0])
    support, out = trace.of(node.inputs[X]), list(node.outputs[0].shape or [])
    if isinstance(support, Dense) or len(out) > 2:
        support = Dense(int(c_in))
    name = module_name(node)
    positions = math.prod(map(_per_sample, out[:-1])) if sizes is None else _size(name, sizes)[0]
    head = positions == 1 and _is_head(node)
    return Layer(name, int(c_in), int(c_out), (positions, 1), head=head, support=support)


def _size(name: str, sizes: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    if name not in sizes:
        raise ExportError(
            f"layer {name} has another name in the graph for images of any size, expected the same in both; make it a "
            "module (nn.Conv2d, nn.Linear), or export it for one size"
        )
    return sizes[name]


def _per_sample(size: int | str) -> int:
    """What an axis has for every sample: 1 for the batch "N", 196 for "196*N", else its size."""
    if isinstance(size, int):
        return size
    return math.prod(int(factor) for factor in re.findall(r"\d+", size)) if "*" in size else 1


def module_name(node: gs.Node) -> str:
    """PyTorch module of an ungated layer, from the name of its weights ("head.weight").

    A module that is called again, or whose weights another one shares, is a layer of its own: "head.call2". Readers of
    a constant keep the order in which the network was executed, whatever order the nodes get.
    """
    weight = node.inputs[WEIGHT]
    name = weight.name.removesuffix(".weight") if weight.name.endswith(".weight") else node.name
    call = next(index for index, reader in enumerate(weight.outputs) if reader is node)
    return name if call == 0 else f"{name}.call{call + 1}"


def _channel_gate(conv: gs.Node) -> gs.Node | None:
    producers = conv.inputs[SCALE].inputs
    return producers[0] if producers and producers[0].op == CHANNEL_GATE else None


def _gate_hidden(conv: gs.Node) -> int:
    gate = _channel_gate(conv)
    return 0 if gate is None or _gate_is_direct(conv) else int(gate.inputs[GATE_W1].shape[0])


def _gate_is_direct(conv: gs.Node) -> bool:
    gate = _channel_gate(conv)
    return gate is not None and len(gate.inputs[GATE_W1].shape) == 1


def _is_head(node: gs.Node) -> bool:
    """True if no gated layer follows."""
    pending, seen = list(node.outputs), set()
    while pending:
        for consumer in pending.pop().outputs:
            if consumer.op == GATED_CONV:
                return False
            if id(consumer) not in seen:
                seen.add(id(consumer))
                pending.extend(consumer.outputs)
    return True
