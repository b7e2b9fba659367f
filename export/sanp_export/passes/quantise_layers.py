"""Gated convolutions and their gates on bytes, with QuantizeLinear and DequantizeLinear where float32 begins."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.byte_steps import Step, byte_weights
from sanp_export.graph.patterns import (
    ALGORITHM,
    GATE_X,
    IN_ACTIVE,
    RESIDUAL,
    SCALE,
    SHIFT,
    WEIGHT,
    X,
    channel_gates,
    gated_convs,
    has_residual,
    layer_of,
)
from sanp_runtime.contract import DOMAIN, GATED_QLINEAR_CONV, MAX_POOL, QLINEAR_CHANNEL_GATE

_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


def quantise_layers(graph: gs.Graph, layers: Collection[str], steps: Mapping[str, Step]) -> int:
    """Let these gated layers compute on bytes.

    1. `SanpGatedConv` becomes `SanpGatedQLinearConv`; its output is bytes, with a DequantizeLinear for readers of
       float32. A feature map of float32 that it reads gets a QuantizeLinear.
    2. A max pool between two such layers pools bytes: it moves values and computes none. It becomes `SanpMaxPool`,
       unless it has dilations or rounds its size up.
    3. A gate whose feature map is there as bytes reads those: the sum is exact, and a quarter of the memory.

    Everything else stays as it is: an addition or a concatenation between the two kinds of nodes is what ONNX Runtime
    fuses into its own kernels of bytes. steps: by name of the tensor, for all that `ranged_tensors` names. Layers that
    are not here or bytes already are left alone.
    """
    graph.toposort()
    tensors = _ByteTensors(graph, steps)
    changes = 0
    for conv in gated_convs(graph):
        if layer_of(conv) in layers:
            _quantise_conv(graph, conv, tensors)
            changes += 1
    for gate in channel_gates(graph) if changes else ():
        known = tensors.known(gate.inputs[GATE_X])
        if known is not None:
            gate.op, gate.inputs = QLINEAR_CHANNEL_GATE, [*known, *gate.inputs[GATE_X + 1 :]]
            changes += 1
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    return changes


def _quantise_conv(graph: gs.Graph, conv: gs.Node, tensors: _ByteTensors) -> None:
    layer, result = layer_of(conv), conv.outputs[0]
    x = tensors.of(conv.inputs[X])
    # No residual is the zero point of any step: that of x is there anyway.
    residual = tensors.of(conv.inputs[RESIDUAL]) if has_residual(conv) else (x[2], x[1], x[2])
    values, sizes = byte_weights(conv.inputs[WEIGHT].values)
    weights = [gs.Constant(f"{layer}.weight_bytes", values), gs.Constant(f"{layer}.weight_steps", sizes)]
    masks = [conv.inputs[SCALE], conv.inputs[SHIFT], conv.inputs[IN_ACTIVE]]
    attributes = {key: value for key, value in conv.attrs.items() if key != ALGORITHM}
    name = conv.name
    conv.outputs.clear()
    conv.inputs.clear()
    made, size, zero = tensors.produced(result)
    inputs = [*x, *weights, *masks, *residual, size, zero]
    graph.nodes.append(gs.Node(GATED_QLINEAR_CONV, name, attributes, inputs, [made], domain=DOMAIN))


def _as_ours(pool: gs.Node) -> None:
    attributes = {"strides": [1, 1], "pads": [0] * 4, **pool.attrs}
    ours = {name: attributes.pop(name) for name in ("kernel_shape", "strides", "pads")}
    standard = {"dilations": [1, 1], "ceil_mode": 0, "storage_order": 0, "auto_pad": "NOTSET"}
    if all(attributes[name] == standard[name] for name in attributes):
        pool.op, pool.domain, pool.attrs = MAX_POOL, DOMAIN, ours


class _ByteTensors:
    """The bytes beside each float tensor: (bytes, step, zero point), made at the first request."""

    def __init__(self, graph: gs.Graph, steps: Mapping[str, Step]) -> None:
        self._graph, self._steps = graph, steps
        self._known: dict[int, tuple[gs.Tensor, gs.Tensor, gs.Tensor]] = {}

    def known(self, tensor: gs.Tensor) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor] | None:
        """The bytes of a tensor, if something has asked for them or makes them."""
        producer = tensor.inputs[0] if tensor.inputs else None
        if producer is not None and producer.op == _DEQUANTISE:
            return tuple(producer.inputs)
        return self._known.get(id(tensor))

    def of(self, tensor: gs.Tensor) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor]:
        """The bytes of a tensor that a layer reads."""
        found = self.known(tensor)
        if found is not None:
            return found
        pool = tensor.inputs[0] if tensor.inputs else None
        if pool is not None and pool.op == "MaxPool" and len(pool.outputs) == 1 and self.known(pool.inputs[0]):
            return self._pooled(tensor, pool)
        made, size, zero = self._new(tensor)
        self._graph.nodes.append(gs.Node(_QUANTISE, f"{tensor.name}/quantise", {}, [tensor, size, zero], [made]))
        self._known[id(tensor)] = (made, size, zero)
        return made, size, zero

    def produced(self, tensor: gs.Tensor) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor]:
        """Bytes for a layer to write, from which the tensor itself is made for readers of float32."""
        made, size, zero = self._new(tensor)
        self._dequantise(tensor, made, size, zero)
        return made, size, zero

    def _pooled(self, tensor: gs.Tensor, pool: gs.Node) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor]:
        source, size, zero = self.of(pool.inputs[0])
        made = gs.Variable(f"{tensor.name}.bytes", np.uint8, tensor.shape)
        pool.outputs.clear()
        pool.inputs = [source]
        pool.outputs = [made]
        _as_ours(pool)
        self._dequantise(tensor, made, size, zero)
        return made, size, zero

    def _dequantise(self, tensor: gs.Tensor, made: gs.Tensor, size: gs.Tensor, zero: gs.Tensor) -> None:
        node = gs.Node(_DEQUANTISE, f"{tensor.name}/dequantise", {}, [made, size, zero], [tensor])
        self._graph.nodes.append(node)

    def _new(self, tensor: gs.Tensor) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor]:
        step = self._steps[tensor.name]
        return (
            gs.Variable(f"{tensor.name}.bytes", np.uint8, tensor.shape),
            gs.Constant(f"{tensor.name}.step", np.array(step.size, np.float32)),
            gs.Constant(f"{tensor.name}.zero", np.array(step.zero, np.uint8)),
        )
