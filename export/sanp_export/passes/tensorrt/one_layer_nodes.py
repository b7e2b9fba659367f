"""Operators that TensorRT's parser writes as several layers, as one node per layer, so that each layer has a name.

Read in its source (onnx-tensorrt, 8.5 to 10.1): of a Gemm with a bias only the product carries the name of the node;
the addition has none, or one that nobody can foresee. A weakly typed builder is told by name what must not run in half.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

# Operator -> the steps before and after the sum over its axes.
_REDUCTIONS = {
    "ReduceL1": ("Abs", None),
    "ReduceL2": ("Mul", "Sqrt"),
    "ReduceSumSquare": ("Mul", None),
    "ReduceLogSum": (None, "Log"),
    "ReduceLogSumExp": ("Exp", "Log"),
}


def one_layer_nodes(graph: gs.Graph) -> int:
    """Write a Gemm as MatMul and Add, LogSoftmax as Softmax and Log, reductions with a step before or after as both.

    The first node keeps the name, the others are named after it. A number of Gemm that is not 1 goes into its
    constants, or becomes a Mul.
    """
    changes = 0
    for node in list(graph.nodes):
        if node.domain not in (None, "", "ai.onnx"):
            continue
        if node.op == "Gemm":
            _Chain(graph, node).gemm()
        elif node.op == "LogSoftmax":
            _Chain(graph, node).log_softmax()
        elif node.op in _REDUCTIONS:
            _Chain(graph, node).reduction(*_REDUCTIONS[node.op])
        else:
            continue
        changes += 1
    return changes


class _Chain:
    """Replaces one node by a chain of nodes that ends in the same tensor."""

    def __init__(self, graph: gs.Graph, node: gs.Node) -> None:
        self._graph, self._node = graph, node
        self._result = node.outputs[0]
        self._operands = list(node.inputs)
        self._name = node.name
        node.inputs.clear()
        node.outputs.clear()
        graph.nodes.remove(node)

    def gemm(self) -> None:
        attrs = self._node.attrs
        a, b, *bias = self._operands
        shape = self._result.shape
        if attrs.get("transA"):
            a = self._transposed(a, "left")
        if attrs.get("transB"):
            b = self._transposed(b, "right")
        b = self._scaled(b, attrs.get("alpha", 1.0), "alpha")
        if not bias:
            self._emit("MatMul", "", [a, b], shape, last=True)
            return
        product = self._emit("MatMul", "", [a, b], shape)
        addend = self._scaled(self._row(bias[0]), attrs.get("beta", 1.0), "beta")
        self._emit("Add", "/bias", [product, addend], shape, last=True)

    def log_softmax(self) -> None:
        axis = {"axis": self._node.attrs.get("axis", -1)}
        share = self._emit("Softmax", "", self._operands, self._result.shape, axis)
        self._emit("Log", "/log", [share], self._result.shape, last=True)

    def reduction(self, before: str | None, after: str | None) -> None:
        x, *axes = self._operands
        attributes = {"keepdims": self._node.attrs.get("keepdims", 1)}
        if "axes" in self._node.attrs:  # of opset 17, where only ReduceSum reads them as an input
            axes = [gs.Constant(f"{self._name}.axes", np.array(self._node.attrs["axes"], np.int64))]
        if before is not None:
            x = self._emit(before, f"/{before.lower()}", [x, x] if before == "Mul" else [x], x.shape)
        if after is None:
            self._emit("ReduceSum", "", [x, *axes], self._result.shape, attributes, last=True)
            return
        total = self._emit("ReduceSum", "", [x, *axes], self._result.shape, attributes)
        self._emit(after, f"/{after.lower()}", [total], self._result.shape, last=True)

    def _transposed(self, tensor: gs.Tensor, side: str) -> gs.Tensor:
        if isinstance(tensor, gs.Constant):
            return gs.Constant(f"{tensor.name}.transposed", np.ascontiguousarray(tensor.values.T))
        shape = None if tensor.shape is None else list(tensor.shape)[::-1]
        return self._emit("Transpose", f"/{side}", [tensor], shape, {"perm": [1, 0]})

    def _scaled(self, tensor: gs.Tensor, factor: float, word: str) -> gs.Tensor:
        if factor == 1.0:
            return tensor
        if isinstance(tensor, gs.Constant):
            values = tensor.values * tensor.values.dtype.type(factor)
            return gs.Constant(f"{self._name}.{word}", values.astype(tensor.values.dtype))
        number = gs.Constant(f"{self._name}.{word}", np.full((1, 1), factor, np.dtype(tensor.dtype)))
        return self._emit("Mul", f"/{word}", [tensor, number], tensor.shape)

    def _row(self, bias: gs.Tensor) -> gs.Tensor:
        """A constant bias of two dimensions: an operand of fewer would get a reshape without a name."""
        if isinstance(bias, gs.Constant) and bias.values.ndim < 2:
            return gs.Constant(f"{bias.name}.row", bias.values.reshape(1, -1))
        return bias

    def _emit(
        self,
        op: str,
        suffix: str,
        inputs: list[gs.Tensor],
        shape: list[object] | None,
        attributes: dict[str, object] | None = None,
        last: bool = False,
    ) -> gs.Tensor:
        name = f"{self._name}{suffix}"
        output = self._result if last else gs.Variable(f"{name}_out", self._result.dtype, shape)
        self._graph.nodes.append(gs.Node(op, name, attributes or {}, inputs, [output]))
        return output
