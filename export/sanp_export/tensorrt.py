"""The TensorRT copy of a graph: no functions or defaults, plugins or standard operators of opset 17, explicit types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, helper, inliner

from sanp_export.functions import DOMAIN_VERSION
from sanp_export.graph.model_file import CHECKSUM_KEY, metadata_of, seal, to_graph
from sanp_export.graph.patterns import gated_convs, layer_of
from sanp_export.passes.dial_inputs import drop_dial
from sanp_export.passes.tensorrt.decompose import decompose
from sanp_export.passes.tensorrt.half_precision import half_precision
from sanp_export.passes.tensorrt.lower_opset import OPSET, lower_opset
from sanp_export.passes.tensorrt.mask_inputs import mask_inputs
from sanp_export.passes.tensorrt.native_gating import native_convs, native_gates
from sanp_export.passes.tensorrt.one_layer_nodes import one_layer_nodes
from sanp_export.passes.tensorrt.plain_names import plain_names
from sanp_export.passes.tensorrt.plugin_nodes import plugin_nodes
from sanp_runtime.contract import DOMAIN, PIXEL_GATED_CONV

# IR 8 belongs to opset 17: the parser of TensorRT 8.5 was built with ONNX 1.12.
_IR_VERSION = 8

# The index of TopK is int64 in ONNX and int32 in TensorRT 8.
_TYPE_WORDS = {TensorProto.FLOAT: "fp32", TensorProto.INT64: "int32", TensorProto.INT32: "int32"}

Precision = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class TensorrtOptions:
    """precision: type of feature maps and weights; gates always decide in float32.

    plugin_layers: gated layers whose convolution runs in our plugin; None = all. The channel gates are plugins as soon
    as one layer is; with none the graph needs no plugin at all.
    """

    precision: Precision = "fp32"
    plugin_layers: frozenset[str] | None = None


def convert(model: onnx.ModelProto, options: TensorrtOptions | None = None) -> onnx.ModelProto:
    """TensorRT copy of an exported model or of one of its variants (`sanp_export.variants.variants`).

    Inputs: `input` [N, C, H, W] and, unless the graph is dense, a required `mask.<layer>` [N, Co] per gated layer, all
    float32. Outputs as in the original, float32. Plugin layers that the graph does not have are left out. Raises
    ExportError for an operator that TensorRT 8.5 would misread or a weight that FP16 cannot hold.
    """
    choice = options or TensorrtOptions()
    graph = to_graph(_without_pixel_gates(model))
    layers = {layer_of(conv) for conv in gated_convs(graph)}
    chosen = layers if choice.plugin_layers is None else choice.plugin_layers & layers
    for rewrite in _passes(choice, frozenset(chosen)):
        rewrite(graph)
        graph.cleanup(remove_unused_graph_inputs=False).toposort()
    note = {"precision": choice.precision, "plugin_layers": sorted(chosen)}
    properties = {key: value for key, value in metadata_of(model).items() if key != CHECKSUM_KEY}
    return _to_model(graph, {**properties, "sanp.tensorrt": json.dumps(note)})


def _without_pixel_gates(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convolutions with gated pixels as the standard operators of their function: no plugin computes them."""
    if not any(node.op_type == PIXEL_GATED_CONV for node in model.graph.node):
        return model
    written: onnx.ModelProto = inliner.inline_selected_functions(model, [(DOMAIN, PIXEL_GATED_CONV)])
    return onnx.shape_inference.infer_shapes(written)


def single_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Standard nodes of a TensorRT copy that compute in float32: a weakly typed TensorRT (8.x) has to be told.

    Name of a node -> types of its outputs in the words of trtexec ("fp32", "fp32+int32"), or "" where no output is a
    float: a comparison in half would decide otherwise, though what it returns is no number.
    """
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}
    types.update({value.name: value.type.tensor_type.elem_type for value in model.graph.input})
    types.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
    result = {}
    for node in model.graph.node:
        operands = {types.get(name) for name in (*node.input, *node.output)}
        floats = operands & {TensorProto.FLOAT, TensorProto.FLOAT16}
        if not node.domain and node.op_type != "Cast" and floats == {TensorProto.FLOAT}:
            words = [_TYPE_WORDS.get(types.get(name, TensorProto.UNDEFINED), "") for name in node.output]
            result[node.name] = "+".join(words) if "fp32" in words and all(words) else ""
    return result


def _passes(options: TensorrtOptions, chosen: frozenset[str]) -> list[Callable[[gs.Graph], int]]:
    """In this order: types before the native forms, which follow the type of x; the plugins take what remains."""
    steps: list[Callable[[gs.Graph], int]] = [drop_dial, mask_inputs, decompose, lower_opset]
    if options.precision == "fp16":
        steps.append(half_precision)
    steps.append(lambda graph: native_convs(graph, chosen))
    if not chosen:
        steps.append(native_gates)
    return [*steps, one_layer_nodes, plugin_nodes, plain_names]


def _to_model(graph: gs.Graph, properties: Mapping[str, str]) -> onnx.ModelProto:
    model = gs.export_onnx(graph, do_type_check=False)
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "sanp", ""
    del model.functions[:]
    del model.opset_import[:]
    # The parser of 8.5 takes the first entry for the opset of everything.
    model.opset_import.append(helper.make_opsetid("", OPSET))
    if any(node.domain == DOMAIN for node in model.graph.node):
        model.opset_import.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
    helper.set_model_props(model, dict(properties))
    seal(model)
    onnx.checker.check_model(model, full_check=True)
    return model
