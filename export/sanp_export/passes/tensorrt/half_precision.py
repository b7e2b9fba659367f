"""Explicit FP16 for strongly typed builders: feature maps and weights in half, gates and reductions in single."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto

from sanp_export.graph.number_types import to_half
from sanp_export.graph.patterns import RESIDUAL, WEIGHT, X
from sanp_export.passes.tensorrt.lower_opset import OPSET
from sanp_runtime.contract import CHANNEL_GATE, GATED_CONV

# A mean over a map or a softmax sums many values: half as a running sum would lose what the convolutions kept.
_SINGLE_OPS = (
    "GlobalAveragePool",
    "Softmax",
    "LogSoftmax",
    "InstanceNormalization",
    "LayerNormalization",
    "Exp",
    "Pow",
)
# Operands that are not feature maps: their type is fixed by ONNX.
_SHAPE_OPS = ("Shape", "Size")
_FIRST_OPERAND_ONLY = ("Resize",)


def half_precision(graph: gs.Graph) -> int:
    """Insert casts so that feature maps and their weights are float16; inputs and outputs of the network keep float32.

    1. The image is cast once. 2. SanpGatedConv: x, w, residual and y; scale, shift and in_active stay single.
    3. SanpChannelGate reads x as it is and decides in single. 4. Standard nodes that read a feature map compute in
    half, reductions in single between casts. 5. Outputs are cast back. Returns the number of casts and converted
    constants. Raises ExportError for a weight that half cannot hold.
    """
    return _Halver(graph).run()


class _Halver:
    """Walks the graph in order of execution; what is float16 is known by the dtype of the tensor."""

    def __init__(self, graph: gs.Graph) -> None:
        self._graph = graph
        self._casts: dict[tuple[int, type], gs.Variable] = {}
        self._constants: dict[int, gs.Constant] = {}
        self._changes = 0

    def run(self) -> int:
        self._graph.toposort()
        nodes = list(self._graph.nodes)
        image = self._graph.inputs[0]
        if any(reader.op == "Cast" and reader.outputs[0].dtype == np.float16 for reader in image.outputs):
            return 0  # done before
        start = self._cast(image, np.float16)
        for node in [reader for reader in list(image.outputs) if reader.outputs and reader.outputs[0] is not start]:
            if node.op not in _SHAPE_OPS:
                node.inputs = [start if tensor is image else tensor for tensor in node.inputs]
        for node in nodes:
            self._convert(node)
        for index, output in enumerate(self._graph.outputs):
            if output.dtype == np.float16:
                self._graph.outputs[index] = self._single_output(output)
        self._graph.toposort()
        return self._changes

    def _convert(self, node: gs.Node) -> None:
        if node.op == GATED_CONV:
            for position in (X, WEIGHT, RESIDUAL):
                node.inputs[position] = self._half(node.inputs[position])
            node.outputs[0].dtype = np.float16
        elif node.op in (*_SHAPE_OPS, CHANNEL_GATE, "Cast") or not any(_is_half(t) for t in node.inputs):
            return
        elif node.op in _SINGLE_OPS or node.op.startswith("Reduce") or not _exists_in_half(node):
            node.inputs = [self._cast(tensor, np.float32) if _is_half(tensor) else tensor for tensor in node.inputs]
            for output in node.outputs:
                readers = list(output.outputs)
                if readers and not any(output is other for other in self._graph.outputs):
                    half = self._cast(output, np.float16)
                    for reader in readers:
                        reader.inputs = [half if tensor is output else tensor for tensor in reader.inputs]
        else:
            operands = range(1) if node.op in _FIRST_OPERAND_ONLY else range(len(node.inputs))
            for position in operands:
                node.inputs[position] = self._half(node.inputs[position])
            for output in node.outputs:
                if output.dtype in (None, np.float32, np.dtype(np.float32)):
                    output.dtype = np.float16

    def _half(self, tensor: gs.Tensor) -> gs.Tensor:
        """The tensor in half, if it holds floats at all."""
        if tensor.dtype not in (np.float32, np.dtype(np.float32)):
            return tensor
        return self._half_constant(tensor) if isinstance(tensor, gs.Constant) else self._cast(tensor, np.float16)

    def _half_constant(self, tensor: gs.Constant) -> gs.Constant:
        if id(tensor) not in self._constants:
            self._constants[id(tensor)] = gs.Constant(f"{tensor.name}.half", to_half(tensor.name, tensor.values))
            self._changes += 1
        return self._constants[id(tensor)]

    def _cast(self, tensor: gs.Tensor, dtype: type) -> gs.Variable:
        key = (id(tensor), dtype)
        if key not in self._casts:
            word, to = ("half", TensorProto.FLOAT16) if dtype is np.float16 else ("single", TensorProto.FLOAT)
            result = gs.Variable(f"{tensor.name}.{word}", dtype, tensor.shape)
            node = gs.Node("Cast", f"{tensor.name}/{word}", {"to": int(to)}, [tensor], [result])
            self._graph.nodes.append(node)
            self._casts[key] = result
            self._changes += 1
        return self._casts[key]

    def _single_output(self, output: gs.Variable) -> gs.Variable:
        """A float32 output of the old name; the half tensor inside gets another one."""
        name = output.name
        output.name = f"{name}.half"
        result = gs.Variable(name, np.float32, output.shape)
        self._graph.nodes.append(gs.Node("Cast", f"{name}/single", {"to": int(TensorProto.FLOAT)}, [output], [result]))
        self._changes += 1
        return result


def _exists_in_half(node: gs.Node) -> bool:
    """Whether ONNX lets the first operand of this operator be float16."""
    if node.domain not in (None, "", "ai.onnx") or not onnx.defs.has(node.op):
        return True
    schema = onnx.defs.get_schema(node.op, OPSET, "")
    return not schema.inputs or "tensor(float16)" in schema.inputs[0].types


def _is_half(tensor: gs.Tensor) -> bool:
    return isinstance(tensor, gs.Variable) and tensor.dtype in (np.float16, np.dtype(np.float16))
