"""From a PyTorch network, gated or plain, to the one ONNX file that runs everywhere."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import onnx
import onnx_graphsurgeon as gs
import torch
from torch import Tensor, nn

from sanp_export.environment import environment_error, root_cause
from sanp_export.functions import OPSET
from sanp_export.graph.layer_table import layer_table
from sanp_export.graph.model_file import SCHEMA_VERSION, UNGATED_MODEL, to_graph, to_model
from sanp_export.lower import lower
from sanp_export.passes.connect_active import connect_active
from sanp_export.passes.count_macs import count_macs
from sanp_export.passes.drop_learned_gates import drop_learned_gates
from sanp_export.passes.drop_magnitudes import drop_magnitudes
from sanp_export.passes.expand_static_gates import expand_static_gates
from sanp_export.passes.expose_gates import expose_gates
from sanp_export.passes.fuse_activations import fuse_activations
from sanp_export.passes.fuse_pads import fuse_pads
from sanp_export.passes.fuse_residuals import fuse_residuals
from sanp_export.passes.name_layers import name_layers
from sanp_export.passes.share_gates import share_gates
from sanp_runtime.contract import INPUT, LOGITS
from sanp_targets.errors import ExportError


@dataclass(frozen=True)
class ExportOptions:
    """gates: "learned" keeps the saliency modules, "mask" lets the mask inputs alone decide (mask = scale).

    gate_outputs lists `gate.<layer>` as outputs; macs_output adds `macs` [N].
    """

    gates: Literal["learned", "mask"] = "learned"
    gate_outputs: bool = True
    macs_output: bool = False


def export(
    model: nn.Module,
    example_input: Tensor,
    options: ExportOptions | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Export a network; the batch is dynamic, the image size that of `example_input` [N, C, H, W] float32.

    The result has the input `input`, one overridable input `mask.<layer>` [1 or N, Co] per gated layer with default
    ones, and the outputs `logits` and `gate.<layer>`. A network without gates has `input` and `logits` alone. Raises
    ExportError for a model that torch.export cannot trace, and for gates="mask" without a gated layer.
    """
    choice = options or ExportOptions()
    graph = to_graph(_trace(model, example_input))
    execution_order = _prepare(graph)
    layers = sorted(layer_table(graph), key=lambda layer: execution_order.index(layer.name))
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
        **(metadata or {}),
    }
    return to_model(graph, properties)


def check_example(example_input: Tensor) -> None:
    """Raise ExportError unless the example is a batch of float32 images [N, C, H, W]."""
    if example_input.dim() != 4 or example_input.dtype != torch.float32 or not len(example_input):
        raise ExportError(
            f"the example input has shape {tuple(example_input.shape)} and type {example_input.dtype}, "
            "expected float32 [N, C, H, W] with N of at least 1; pass one such batch"
        )


def _prepare(graph: gs.Graph) -> list[str]:
    """The passes that every export needs, in an order that matters: names first, residuals before activations.

    Returns the layers in the order in which PyTorch executed them; sorting a graph by depth loses it, and validation
    needs it to tell the first gate that differs from those in its wake.
    """
    name_layers(graph)
    share_gates(graph)
    execution_order = [layer.name for layer in layer_table(graph)]
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


def _trace(model: nn.Module, example_input: Tensor) -> onnx.ModelProto:
    check_example(example_input)
    lowered, _ = lower(model)
    # A batch of one would be specialised to the constant 1.
    example = example_input.detach().cpu()
    example = example if example.shape[0] > 1 else example.repeat(2, 1, 1, 1)
    return to_onnx(lowered, example, type(model).__name__)


def to_onnx(model: nn.Module, example: Tensor, name: str = "the network") -> onnx.ModelProto:
    """torch's export of a network in evaluation mode; the example [N, C, H, W] has at least two samples.

    Raises ExportError for a network that torch.export cannot trace, TargetError for packages that do not fit.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
                verbose=False,
            )
    except Exception as error:
        environment = environment_error(error)
        if environment is not None:
            raise environment from error
        raise ExportError(
            f"{name}: torch could not export the network ({_first_line(root_cause(error))}); expected operators "
            "and control flow that torch.export supports: replace the named part, or see the full trace with --debug"
        ) from error
    assert program is not None  # only the legacy exporter returns None
    return program.model_proto


def _first_line(error: BaseException) -> str:
    """Without the terminal colours of torch's pages of advice."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


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
