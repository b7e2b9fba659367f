"""Activations that opset 17 or FP16 lacks, from operators that every TensorRT reads."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_graphsurgeon as gs


def decompose(graph: gs.Graph) -> int:
    """Write Gelu (opset 20), Mish (18) and Celu (no float16 in ONNX) as operators of opset 17 with the same values.

    None of them needs more than float16 holds: where an intermediate value is infinite, its tanh or erf is 1.
    """
    changes = 0
    for node in list(graph.nodes):
        write = _FORMS.get(node.op) if node.domain in (None, "", "ai.onnx") else None
        if write is not None:
            write(_Writer(graph, node))
            changes += 1
    return changes


class _Writer:
    """Appends the nodes that take the place of one node with one operand."""

    def __init__(self, graph: gs.Graph, node: gs.Node) -> None:
        self._graph, self._name, self._steps = graph, node.name, 0
        self.attrs, self.x, self._result = node.attrs, node.inputs[0], node.outputs[0]
        node.inputs.clear()
        node.outputs.clear()
        graph.nodes.remove(node)

    def number(self, value: float) -> gs.Constant:
        return gs.Constant(f"{self._name}.{value:g}", np.array(value, np.float32))

    def __call__(self, op: str, *inputs: gs.Tensor, last: bool = False, **attributes: float) -> gs.Tensor:
        self._steps += 1
        name = self._name if last else f"{self._name}/{op.lower()}{self._steps}"
        output = self._result if last else gs.Variable(f"{name}_out", self._result.dtype, self._result.shape)
        self._graph.nodes.append(gs.Node(op, name, dict(attributes), list(inputs), [output]))
        return output


def _gelu(write: _Writer) -> None:
    """x / 2 * (1 + erf(x / sqrt(2))), or with tanh(sqrt(2 / pi) * x * (1 + 0.044715 * x * x)) in place of erf."""
    x, number = write.x, write.number
    if write.attrs.get("approximate", "none") == "tanh":
        bent = write("Add", write("Mul", write("Mul", x, x), number(0.044715)), number(1.0))
        curve = write("Tanh", write("Mul", write("Mul", x, bent), number(math.sqrt(2 / math.pi))))
    else:
        curve = write("Erf", write("Mul", x, number(math.sqrt(0.5))))
    write("Mul", write("Mul", x, number(0.5)), write("Add", curve, number(1.0)), last=True)


def _mish(write: _Writer) -> None:
    """x * tanh(softplus(x))."""
    write("Mul", write.x, write("Tanh", write("Softplus", write.x)), last=True)


def _celu(write: _Writer) -> None:
    """alpha * elu(x / alpha), which is elu for an alpha of 1."""
    alpha = float(write.attrs.get("alpha", 1.0))
    if alpha == 1.0:
        write("Elu", write.x, last=True, alpha=1.0)
        return
    curve = write("Elu", write("Mul", write.x, write.number(1 / alpha)), alpha=1.0)
    write("Mul", curve, write.number(alpha), last=True)


_FORMS: dict[str, Callable[[_Writer], None]] = {"Gelu": _gelu, "Mish": _mish, "Celu": _celu}
