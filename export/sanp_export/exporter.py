"""From a PyTorch network, gated or plain, to one ONNX file, for our kernels and for plain ONNX Runtime."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnx_ir
import torch
from torch import Tensor, nn

from sanp_export.environment import environment_error, first_line, root_cause
from sanp_export.functions import OPSET
from sanp_export.graph import weight_files
from sanp_export.graph.layer_table import layer_table
from sanp_export.graph.model_file import (
    IMAGE_KEY,
    SCHEMA_VERSION,
    SIZES_KEY,
    UNGATED_MODEL,
    layers_of,
    outputs_of,
    to_graph,
    to_model,
)
from sanp_export.inline import inlined
from sanp_export.lower import lower
from sanp_export.named_outputs import as_tuple, check_outputs, named_outputs
from sanp_export.open_size import ExportOptions, check_options, images_of, of_open_size, size_of
from sanp_export.passes.connect_active import connect_active
from sanp_export.passes.count_macs import count_macs
from sanp_export.passes.drop_learned_gates import drop_learned_gates
from sanp_export.passes.drop_magnitudes import drop_magnitudes
from sanp_export.passes.expand_static_gates import expand_static_gates
from sanp_export.passes.expose_gates import expose_gates
from sanp_export.passes.fold_weights import fold_weights
from sanp_export.passes.fuse_activations import fuse_activations
from sanp_export.passes.fuse_pads import fuse_pads
from sanp_export.passes.fuse_residuals import fuse_residuals
from sanp_export.passes.name_layers import name_layers
from sanp_export.passes.name_outputs import name_outputs
from sanp_export.passes.share_gates import share_gates
from sanp_export.passes.slice_pools import slice_pools
from sanp_runtime.contract import INPUT
from sanp_runtime.network.outputs import Output
from sanp_runtime.network.sizes import SizeTable
from sanp_targets.errors import ExportError


def bytes_of(model: nn.Module) -> int:
    """What the weights of a network take as float32; a weight that several layers have counts once."""
    tensors = {id(item): item for item in [*model.parameters(), *model.buffers()]}
    return sum(4 * item.numel() for item in tensors.values())


def _check_size(model: nn.Module) -> None:
    """ExportError, before any work, for weights that one file cannot hold and that have no other file to go to."""
    size = bytes_of(model)
    if size > weight_files.MOST_BYTES and weight_files.scratch() is None:
        raise ExportError(
            f"the weights of {type(model).__name__} take {size / 1e9:.2f} GB as float32, expected at most "
            f"{weight_files.MOST_BYTES / 1e9:.2f} GB in one ONNX file; export it with sanp.export or `sanp export`, "
            "which put them into a file beside it"
        )


def export(
    model: nn.Module,
    example_input: Tensor,
    options: ExportOptions | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Export a network; the batch is dynamic, the image size that of `example_input` [N, C, H, W] float32.

    The result has the input `input`, one overridable input `mask.<layer>` [1 or N, Co] per gated layer with default
    ones, the outputs of the network as `named_outputs` calls them, and `gate.<layer>`. A network without gates has
    `input` and its own outputs alone. Raises ExportError for a model that torch.export cannot trace or whose outputs
    are not float32 [N, ...], for gates="mask" without a gated layer, and for more weights than a file can hold, unless
    `weight_files.in_files` says where they go.
    """
    choice = options or ExportOptions()
    _check_size(model)
    check_example(example_input)
    check_options(choice, size_of(example_input))
    traced, outputs = _trace(model, example_input, choice)
    tables = [_table(model, image, choice) for image in images_of(example_input, choice)]
    sizes = next((table.out_hw for table in tables if table.size == size_of(example_input)), None)
    graph = to_graph(traced)
    name_outputs(graph, outputs)
    execution_order = _prepare(graph, sizes)
    layers = sorted(layer_table(graph, sizes), key=lambda layer: execution_order.index(layer.name))
    gated = any(layer.gated for layer in layers)
    if not gated and choice.gates == "mask":
        raise ExportError(
            f"{type(model).__name__} has no gated layer, so there is nothing that masks could skip; export it without "
            "--gates mask, or gate it first with sanp.gate(model, example_input)"
        )
    if choice.gates == "mask":
        drop_learned_gates(graph)
    connect_active(graph)
    if choice.macs_output:
        count_macs(graph, layers)
    if choice.gate_outputs:
        expose_gates(graph)
    properties = {
        "sanp.schema": str(SCHEMA_VERSION),
        "sanp.layers": json.dumps([layer.to_json() for layer in layers]),
        "sanp.gates": choice.gates if gated else UNGATED_MODEL,
        **({IMAGE_KEY: json.dumps(list(example_input.shape[1:]))} if choice.open_size else {}),
        **({SIZES_KEY: json.dumps([table.to_json() for table in tables])} if len(choice.sizes) > 1 else {}),
        **(metadata or {}),
    }
    model_proto = to_model(graph, properties)
    return inlined(model_proto) if choice.inline else model_proto


def check_example(example_input: Tensor) -> None:
    """Raise ExportError unless the example is a batch of float32 images [N, C, H, W]."""
    if example_input.dim() != 4 or example_input.dtype != torch.float32 or not len(example_input):
        raise ExportError(
            f"the example input has shape {tuple(example_input.shape)} and type {example_input.dtype}, "
            "expected float32 [N, C, H, W] with N of at least 1; pass one such batch"
        )


def _prepare(graph: gs.Graph, sizes: Mapping[str, tuple[int, int]] | None) -> list[str]:
    """The passes that every export needs, in an order that matters: names first, residuals before activations.

    Returns the layers in the order in which PyTorch executed them; sorting a graph by depth loses it, and validation
    needs it to tell the first gate that differs from those in its wake.
    """
    fold_weights(graph)
    slice_pools(graph)
    name_layers(graph)
    share_gates(graph)
    execution_order = [layer.name for layer in layer_table(graph, sizes)]
    expand_static_gates(graph)
    fuse_pads(graph)
    fuse_residuals(graph)
    graph.cleanup().toposort()
    fuse_activations(graph)
    drop_magnitudes(graph)
    graph.cleanup().toposort()
    return execution_order


def check_environment() -> None:
    """Export a single convolution; TargetError if the installed torch, onnx and onnxscript do not fit each other."""
    to_onnx(nn.Conv2d(3, 4, 3).eval(), torch.zeros(2, 3, 5, 5))


def _table(model: nn.Module, images: Tensor, choice: ExportOptions) -> SizeTable:
    """Layers and outputs for images of one size: from an export for that size alone."""
    fixed = export(model, images, replace(choice, dynamic_size=False, sizes=(), inline=False))
    shapes = {output.name: output.shape for output in outputs_of(fixed)}
    return SizeTable(size_of(images), {layer.name: layer.out_hw for layer in layers_of(fixed)}, shapes)  # type: ignore[arg-type]


def _trace(
    model: nn.Module, example_input: Tensor, choice: ExportOptions
) -> tuple[onnx.ModelProto, tuple[Output, ...]]:
    """The graph of torch's exporter, and what its outputs are."""
    lowered, _ = lower(model)
    # A batch of one would be specialised to the constant 1; two and three tell an axis of the batch from others.
    example = example_input.detach().cpu()
    example = example if example.shape[0] > 1 else example.repeat(2, 1, 1, 1)
    name = type(model).__name__
    outputs = _outputs(lowered, example, name)
    outputs = of_open_size(lowered, example, choice, outputs, name)
    lowered.forward = as_tuple(lowered.forward)  # a copy of the network, so nobody else sees it
    return to_onnx(lowered, example, name, len(outputs), choice.flag if choice.open_size else None), outputs


def _outputs(model: nn.Module, example: Tensor, name: str) -> tuple[Output, ...]:
    """The outputs of a network; ExportError if they are not float32 [N, ...] or depend on N otherwise."""
    more = torch.cat([example, example[:1]])
    try:
        with torch.no_grad():
            first, second = (named_outputs(model(batch)) for batch in (example, more))
    except ExportError:
        raise
    except Exception as error:
        raise _not_exported(name, error) from error
    outputs = check_outputs(first, len(example), name)
    if outputs != check_outputs(second, len(more), name):
        raise ExportError(
            f"{name}: the shapes of its outputs depend on the number of samples, expected a row for each sample; wrap "
            "the network so that the first axis alone is the batch"
        )
    return outputs


def to_onnx(
    model: nn.Module, example: Tensor, name: str = "the network", outputs: int = 1, open_size: str | None = None
) -> onnx.ModelProto:
    """torch's export of a network in evaluation mode that returns so many tensors; their names are torch's own.

    The example [N, C, H, W] has at least two samples. open_size: the option that leaves height and width open.

    Raises ExportError for a network that torch.export cannot trace, TargetError for packages that do not fit.
    """
    axes: dict[int, Any] = {0: torch.export.Dim("N", min=1)}
    if open_size is not None:
        axes.update({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO})
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[f"sanp_output_{index}" for index in range(outputs)],
                dynamic_shapes=(axes,),
                verbose=False,
            )
    except Exception as error:
        environment = environment_error(error)
        if environment is not None:
            raise environment from error
        raise _not_exported(name, error) from error
    assert program is not None  # only the legacy exporter returns None
    model_proto = _written(program)
    if model_proto.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value"):
        raise ExportError(
            f"{name}: its forward pass fixes the number of samples, expected code for any number; take it from "
            "x.shape[0], not from len(x) or int(x.shape[0])"
        )
    if open_size is not None and any(
        dim.HasField("dim_value") for dim in model_proto.graph.input[0].type.tensor_type.shape.dim[2:]
    ):
        raise ExportError(
            f"{name}: its forward pass fixes the size of the image to that of the example, expected code for any size; "
            f"look for shapes that become numbers (int, reshape with sizes), or export without {open_size}"
        )
    return model_proto


def _written(program: torch.onnx.ONNXProgram) -> onnx.ModelProto:
    """The model; its weights go tensor by tensor to the file that takes them, if there is one."""
    target = weight_files.scratch()
    if target is None:
        return program.model_proto
    for name, value in program.model.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes >= weight_files.SMALLEST:
            array = np.ascontiguousarray(tensor.numpy())
            at = target.put(array)
            value.const_value = onnx_ir.ExternalTensor(
                at.path, at.offset, at.length, tensor.dtype, shape=onnx_ir.Shape(array.shape), name=name
            )
    return program.model_proto


def _not_exported(name: str, error: BaseException) -> ExportError:
    return ExportError(
        f"{name}: torch could not export the network ({first_line(root_cause(error))}); expected operators and "
        "control flow that torch.export supports: replace the named part, or see the full trace with --debug"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's notes about itself (missing torchvision, internal deprecations): nothing the user can act on."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
