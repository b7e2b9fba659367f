"""Gated layers from standard operators of opset 17: what runs where our TensorRT plugin does not."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto

from sanp_export.graph.gates import bias_of, emit_shift, has_offset
from sanp_export.graph.number_types import to_half
from sanp_export.graph.patterns import (
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

_GEOMETRY = ("strides", "pads", "dilations", "group")


def native_convs(graph: gs.Graph, plugin_layers: Collection[str]) -> int:
    """Write the convolutions of all other layers as clamp(scale * (conv(x, w) + bias) + residual).

    The bias goes into the convolution, where every builder fuses it; the shift then has no reader. Where a part of the
    shift is not scaled, the shift is added after the scale instead. FP16 follows x.
    """
    changes = 0
    for conv in gated_convs(graph):
        if layer_of(conv) not in plugin_layers:
            _Writer(graph, layer_of(conv), conv.inputs[X].dtype).conv(conv)
            changes += 1
    return changes


def native_gates(graph: gs.Graph) -> int:
    """Write every SanpChannelGate as the body of its function, in float32 whatever the type of x."""
    changes = 0
    for gate in channel_gates(graph):
        _Writer(graph, layer_of(gate), np.float32).gate(gate)
        changes += 1
    return changes


class _Writer:
    """Appends the nodes of one layer, named after it."""

    def __init__(self, graph: gs.Graph, layer: str, dtype: type) -> None:
        self._graph, self._layer, self._dtype = graph, layer, np.dtype(dtype).type

    def conv(self, node: gs.Node) -> None:
        bias = None if has_offset(node) else bias_of(node)
        result, shape = node.outputs[0], node.outputs[0].shape
        x, weight, scale, shift, residual = (node.inputs[index] for index in (X, WEIGHT, SCALE, SHIFT, RESIDUAL))
        fused = has_residual(node)
        node.outputs.clear()
        node.inputs.clear()
        operands = [x, weight]
        if bias is not None:
            values = bias.values.reshape(-1)
            half = self._dtype is np.float16
            operands.append(self._const("conv_bias", to_half(bias.name, values) if half else values))
        y = self._emit("Conv", "conv", operands, shape, {name: node.attrs[name] for name in _GEOMETRY})
        axes = self._const("scale_axes", np.array([2, 3], np.int64))
        y = self._emit("Mul", "scaled", [y, self._wide(scale, "scale", axes)], shape)
        if bias is None:
            y = self._emit("Add", "shifted", [y, self._wide(shift, "shift", axes)], shape)
        if fused:
            y = self._emit("Add", "summed", [y, residual], shape)
        self._finish(self._clamp(y, shape, node.attrs["act_min"], node.attrs["act_max"]), result)

    def gate(self, node: gs.Node) -> None:
        x, w1, b1, w2, b2, bias, mask = node.inputs  # the order of the operator contract
        scale, shift = node.outputs
        rows, threshold, k = x.shape[0], node.attrs["threshold"], int(node.attrs["k"])
        node.outputs.clear()
        node.inputs.clear()
        if x.dtype != np.float32:
            x = self._emit("Cast", "gate/single", [x], x.shape, {"to": int(TensorProto.FLOAT)})
        pooled = self._emit("ReduceMean", "gate/pool", [x], [rows, x.shape[1]], {"axes": [2, 3], "keepdims": 0})
        hidden = pooled
        if len(w1.shape) == 2:
            hidden = self._emit("Gemm", "gate/squeeze", [pooled, w1, b1], [rows, w1.shape[0]], {"transB": 1})
            hidden = self._emit("Relu", "gate/hidden", [hidden], [rows, w1.shape[0]])
        width = [rows, w2.shape[0]]
        u = self._emit("Gemm", "gate/excite", [hidden, w2, b2], width, {"transB": 1})
        s = self._emit("Relu", "gate/saliency", [u], width)
        bound: gs.Tensor = self._const("gate_threshold", np.full((1, 1), threshold, np.float32))
        if 0 < k < w2.shape[0]:
            bound = self._emit("Max", "gate/bound", [self._rank(s, rows, k), bound], [rows, 1])
        opened = self._emit("Greater", "gate/open", [s, bound], width, dtype=np.bool_)
        code = self._emit("Cast", "gate/code", [opened], width, {"to": int(TensorProto.FLOAT)})
        gated = self._emit("Mul", "gate/gated", [s, code], width)
        self._finish(self._emit("Mul", "gate/scale", [gated, mask], width), scale)
        emit_shift(self._graph, self._layer, scale, bias, shift)

    def _rank(self, s: gs.Tensor, rows: object, k: int) -> gs.Tensor:
        """The k+1-th largest saliency of each sample, [N, 1]."""
        largest = gs.Variable(f"{self._layer}.gate_largest", np.float32, [rows, k + 1])
        index = gs.Variable(f"{self._layer}.gate_index", np.int64, [rows, k + 1])
        count = self._const("gate_k", np.array([k + 1], np.int64))
        name = f"{self._layer}/gate/largest"
        self._graph.nodes.append(gs.Node("TopK", name, {"axis": 1}, [s, count], [largest, index]))
        last = self._const("gate_rank", np.array([k], np.int64))
        return self._emit("Gather", "gate/rank", [largest, last], [rows, 1], {"axis": 1})

    def _clamp(self, y: gs.Tensor, shape: list[object], low: float, high: float) -> gs.Tensor:
        if (low, high) == (0.0, math.inf):
            return self._emit("Relu", "act", [y], shape)
        if (low, high) == (-math.inf, math.inf):
            return y
        largest = float(np.finfo(self._dtype).max)
        bounds = [min(max(value, -largest), largest) for value in (low, high)]
        ends = [self._const(f"act_{end}", np.array(v, self._dtype)) for end, v in zip(("min", "max"), bounds)]
        return self._emit("Clip", "act", [y, *ends], shape)

    def _wide(self, rows: gs.Tensor, name: str, axes: gs.Constant) -> gs.Variable:
        """Numbers [N, Co] as [N, Co, 1, 1], in the type of the feature maps."""
        if self._dtype is np.float16:
            rows = self._emit("Cast", f"{name}_half", [rows], rows.shape, {"to": int(TensorProto.FLOAT16)})
        return self._emit("Unsqueeze", f"{name}_4d", [rows, axes], [rows.shape[0], rows.shape[1], 1, 1])

    def _const(self, suffix: str, values: np.ndarray) -> gs.Constant:
        return gs.Constant(f"{self._layer}.{suffix}", np.ascontiguousarray(values))

    def _emit(
        self,
        op: str,
        suffix: str,
        inputs: list[gs.Tensor],
        shape: list[object],
        attributes: dict[str, object] | None = None,
        dtype: type | None = None,
    ) -> gs.Variable:
        output = gs.Variable(f"{self._layer}.{suffix.replace('/', '_')}_out", dtype or self._dtype, shape)
        self._graph.nodes.append(gs.Node(op, f"{self._layer}/{suffix}", attributes or {}, inputs, [output]))
        return output

    @staticmethod
    def _finish(last: gs.Variable, result: gs.Variable) -> None:
        """Let the last node write the tensor that the rest of the graph, or its output list, already reads."""
        producer = last.inputs[0]
        producer.outputs.clear()
        producer.outputs = [result]
