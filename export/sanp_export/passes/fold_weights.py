"""Weights that are computed from constants alone, as those of weight-standardised convolutions, become constants."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
from onnx import helper

from sanp_export.graph.patterns import WEIGHT, constant


def fold_weights(graph: gs.Graph) -> int:
    """Compute the weights of convolutions and linear layers that no input of the network reaches."""
    layers = [node for node in graph.nodes if node.op in ("Conv", "Gemm", "MatMul") and len(node.inputs) > WEIGHT]
    wanted = {id(node.inputs[WEIGHT]): node.inputs[WEIGHT] for node in layers if _is_computed(node.inputs[WEIGHT])}
    if not wanted:
        return 0
    sources: dict[int, gs.Node] = {}
    for tensor in wanted.values():
        _collect(tensor, sources)
    nodes = [node for node in graph.nodes if id(node) in sources]
    part = gs.Graph(nodes=nodes, inputs=[], outputs=list(wanted.values()), opset=graph.opset)
    model = gs.export_onnx(part, do_type_check=False)
    model.ir_version = min(model.ir_version, onnx.IR_VERSION, 9)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", graph.opset))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for tensor, value in zip(wanted.values(), session.run([item.name for item in wanted.values()], {})):
        known = gs.Constant(f"{tensor.name}.folded", np.ascontiguousarray(value))
        for reader in list(tensor.outputs):
            reader.inputs = [known if item is tensor else item for item in reader.inputs]
    graph.cleanup()
    return len(wanted)


def _is_computed(tensor: gs.Tensor) -> bool:
    """Whether standard operators compute this tensor from constants alone."""
    if constant(tensor) is not None or not tensor.inputs:
        return False
    pending, seen = [tensor], {id(tensor)}
    while pending:
        current = pending.pop()
        if isinstance(current, gs.Constant) or current.is_empty():
            continue
        if not current.inputs or current.inputs[0].domain not in (None, "", "ai.onnx"):
            return False
        for item in current.inputs[0].inputs:
            if id(item) not in seen:
                seen.add(id(item))
                pending.append(item)
    return True


def _collect(tensor: gs.Tensor, found: dict[int, gs.Node]) -> None:
    pending = [tensor]
    while pending:
        for node in pending.pop().inputs:
            if id(node) not in found:
                found[id(node)] = node
                pending.extend(node.inputs)
