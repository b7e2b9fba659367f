"""The layers that a TensorRT parser makes of a model, and the worst that an 8.x builder may do to them in FP16 mode.

Read in onnx-tensorrt (8.5 to 10.1): the product of a Gemm with a bias has the node's name and the addition none; other
operators of several layers name the first or the last of them only. Once FP16 is allowed, a layer without a precision
may compute in half, and one without an output type may hand on halves.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "LogSoftmax")


class FakeLayer:
    """A layer of a network definition: its name and constraints."""

    def __init__(self, node: onnx.NodeProto, types: dict[str, int]) -> None:
        self.name, self.precision, self.output_types = node.name, None, {}
        self._types = [types.get(name) for name in node.output]

    def set_output_type(self, index: int, dtype: str) -> None:
        assert self._types[index] == TensorProto.FLOAT, f"{self.name}: output {index} holds no floats"
        self.output_types[index] = dtype

    def constraints(self) -> list:
        """What a serialised network keeps of it: whether it computes in float32, and which outputs are float32."""
        return [self.precision == "float32", [i for i, kind in self.output_types.items() if kind == "float32"]]


def as_parsed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with one node per layer."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes = []
    for node in model.graph.node:
        if node.domain or node.op_type != "Gemm" or len(node.input) < 3:
            nodes.append(node)
            continue
        product = onnx.NodeProto()
        product.CopyFrom(node)
        del product.input[2:]
        product.output[0] = f"{node.output[0]}.product"
        unnamed = f"(Unnamed Layer* {len(nodes) + 1}) [ElementWise]"
        nodes += [product, helper.make_node("Add", [product.output[0], node.input[2]], node.output, unnamed)]
        like = next((v for v in (*model.graph.value_info, *model.graph.output) if v.name == node.output[0]), None)
        if like is not None:
            result.graph.value_info.add().CopyFrom(like)
            result.graph.value_info[-1].name = product.output[0]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def float_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type by tensor."""
    values = (*model.graph.value_info, *model.graph.output, *model.graph.input)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return {**types, **{tensor.name: tensor.data_type for tensor in model.graph.initializer}}


def in_half(model: onnx.ModelProto, constraints: list) -> onnx.ModelProto:
    """A copy that rounds to half whatever the constraints allow: operands, results, or both."""
    result, types, nodes = onnx.ModelProto(), float_types(model), []
    result.CopyFrom(model)
    for node, (single, outputs) in zip(model.graph.node, constraints, strict=True):
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        after = []
        if not node.domain and node.op_type != "Cast":  # a plugin takes the types that it asks for
            assert node.op_type not in _REDUCTIONS or types.get(node.output[0]) != TensorProto.FLOAT, (
                f"{node.name}: {node.op_type} becomes several layers, some without a name"
            )
            if not single:
                for index, name in enumerate(node.input):
                    if types.get(name) == TensorProto.FLOAT:
                        changed.input[index] = f"{node.name}.operand{index}"
                        nodes += _rounded(name, changed.input[index])
            for index, name in enumerate(node.output):
                if types.get(name) == TensorProto.FLOAT and index not in outputs:
                    changed.output[index] = f"{node.name}.result{index}"
                    after += _rounded(changed.output[index], name)
        nodes += [changed, *after]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _rounded(source: str, result: str) -> list[onnx.NodeProto]:
    half = f"{result}.from.{source}"
    return [
        helper.make_node("Cast", [source], [half], f"{half}/half", to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [result], f"{half}/single", to=TensorProto.FLOAT),
    ]
