"""Between ONNX files and the graphs that passes work on: model-local functions, control inputs, metadata, checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, helper
from onnx_graphsurgeon.logger import G_LOGGER

from sanp_export.functions import (
    DIAL_VERSION,
    DOMAIN_VERSION,
    OPSET,
    channel_gate_function,
    gated_conv_function,
    gated_qlinear_conv_function,
    max_pool_function,
    pixel_gated_conv_function,
)
from sanp_export.graph.patterns import GATE_BIAS, GATE_THRESHOLD, GATE_W1, QLINEAR_GATE_SHIFT
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.contract import (
    CHANNEL_GATE,
    DOMAIN,
    GATED_CONV,
    GATED_QLINEAR_CONV,
    MASK_PREFIX,
    MAX_POOL,
    PIXEL_GATED_CONV,
    QLINEAR_CHANNEL_GATE,
    threshold_input,
)
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import Output, is_reserved
from sanp_targets.errors import InputError

SCHEMA_VERSION = 1
CHECKSUM_KEY = "sanp.sha256"
IMAGE_KEY = "sanp.image"  # in the metadata of a model for images of any size: [C, H, W] of the layer table, as JSON
INLINE_KEY = "sanp.inline"  # in the metadata of a model whose functions were written out
UNGATED_MODEL = "none"  # value of the metadata "sanp.gates" for a network without gates, beside "learned" and "mask"

# Its warnings (a missing colour package, equal names seen mid-rewrite) are nothing that a user could act on.
G_LOGGER.severity = G_LOGGER.ERROR

# IR 9 is the newest that ONNX Runtime 1.17 reads; nothing here needs a newer one.
_IR_VERSION = 9

_MASKED = (GATED_CONV, GATED_QLINEAR_CONV)
_GATES = {CHANNEL_GATE: 0, QLINEAR_CHANNEL_GATE: QLINEAR_GATE_SHIFT}  # operator -> inputs more than SanpChannelGate has
# Operators that have the body of another one under a name that no library registers.
ORACLE_SUFFIX = "Oracle"


def to_graph(model: onnx.ModelProto) -> gs.Graph:
    """Graph of a model without its functions; default masks and thresholds become plain constants.

    `to_model` restores them.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    defaults = {item.name for item in bare.graph.initializer}
    true_inputs = [value for value in bare.graph.input if value.name not in defaults]
    del bare.graph.input[:]
    bare.graph.input.extend(true_inputs)
    return gs.import_onnx(bare)


def to_model(graph: gs.Graph, metadata: dict[str, str]) -> onnx.ModelProto:
    """The complete file: functions for the operators in use, masks and thresholds as overridable inputs, metadata,
    checksum.

    Raises onnx.checker.ValidationError if a pass has broken the graph.
    """
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    model = gs.export_onnx(graph, do_type_check=False)
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "sanp", ""
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    used = [node for node in model.graph.node if node.domain == DOMAIN]
    if used:
        version = DIAL_VERSION if any(map(_has_threshold, used)) else DOMAIN_VERSION
        model.opset_import.append(helper.make_opsetid(DOMAIN, version))
        model.functions.extend(_functions_for(used, {item.name: len(item.dims) for item in model.graph.initializer}))
    masks = {MASK_PREFIX + node.name.rpartition("/")[0] for node in used if node.op_type in _MASKED}
    thresholds = {threshold_input(node.name.rpartition("/")[0]) for node in used if _has_threshold(node)}
    for item in model.graph.initializer:
        if item.name in thresholds:
            model.graph.input.append(helper.make_tensor_value_info(item.name, TensorProto.FLOAT, [1]))
        if item.name in masks:
            # A batch dimension of its own for each mask: ONNX Runtime shares buffers between tensors whose dimensions
            # have one name, and fails when one mask then has a row for each sample and another a single one.
            shape = [f"{item.name}.N", item.dims[1]]
            model.graph.input.append(helper.make_tensor_value_info(item.name, TensorProto.FLOAT, shape))
    helper.set_model_props(model, metadata)
    seal(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _has_threshold(node: onnx.NodeProto) -> bool:
    return node.op_type in _GATES and len(node.input) > GATE_THRESHOLD + _GATES[node.op_type]


def _functions_for(nodes: Sequence[onnx.NodeProto], ranks: Mapping[str, int]) -> list[onnx.FunctionProto]:
    """The bodies that these nodes need; ranks: those of the constants, by name."""
    kinds = {node.op_type for node in nodes}
    functions = [gated_conv_function()] if GATED_CONV in kinds else []
    for name in sorted(kinds & {GATED_QLINEAR_CONV, GATED_QLINEAR_CONV + ORACLE_SUFFIX}):
        functions.append(gated_qlinear_conv_function())
        functions[-1].name = name
    functions += [pixel_gated_conv_function()] if PIXEL_GATED_CONV in kinds else []
    functions += [max_pool_function()] if MAX_POOL in kinds else []
    for op, shift in _GATES.items():
        gates = [node for node in nodes if node.op_type == op]
        if gates:
            top_k = any(attribute.name == "k" and attribute.i > 0 for node in gates for attribute in node.attribute)
            # All gates of a file have one form: `lower` and `dial_inputs` see to it.
            hidden, offset = (ranks[gates[0].input[at + shift]] == 2 for at in (GATE_W1, GATE_BIAS))
            dial = _has_threshold(gates[0])
            functions.append(channel_gate_function(top_k, hidden, offset, quantised=bool(shift), dial=dial))
    return functions


def seal(model: onnx.ModelProto) -> None:
    """Store the checksum of everything else in the model's metadata."""
    props = {item.key: item.value for item in model.metadata_props if item.key != CHECKSUM_KEY}
    helper.set_model_props(model, props)
    props[CHECKSUM_KEY] = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    helper.set_model_props(model, props)


def is_sealed(model: onnx.ModelProto) -> bool:
    """True if the model still is what `seal` saw; a flipped bit or an edit makes it False."""
    stored = metadata_of(model).get(CHECKSUM_KEY)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    seal(copy)
    return stored == metadata_of(copy)[CHECKSUM_KEY]


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata of a model as a dictionary."""
    return {item.key: item.value for item in model.metadata_props}


def read(path: Path, allow_modified: bool = False) -> onnx.ModelProto:
    """Read and verify an exported model.

    Raises InputError if the file is missing, truncated, not ONNX, not one of ours, or changed since its export (unless
    `allow_modified`).
    """
    if Path(path).suffix == ".safetensors":
        raise InputError(f"{path}: is a checkpoint, expected an exported model; run `sanp export {path} -o model.onnx`")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of an exported model") from error
    try:
        model = onnx.load_model_from_string(content)
        _verify(path, model, allow_modified)
    except InputError:
        raise
    except Exception as error:  # protobuf, UTF-8, checker: many types, one meaning
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: is not a readable ONNX file ({reason}); export it again") from error
    return model


def _verify(path: Path, model: onnx.ModelProto, allow_modified: bool) -> None:
    found = metadata_of(model).get("sanp.schema")
    if found != str(SCHEMA_VERSION):
        raise InputError(
            f"{path}: has no SANP metadata of schema {SCHEMA_VERSION} (found {found!r}); "
            "make it with `sanp export CHECKPOINT -o MODEL`"
        )
    if not allow_modified and not is_sealed(model):
        raise InputError(
            f"{path}: does not match its own checksum: it was damaged or edited after export; "
            "export it again, or pass --allow-modified if the edit was yours"
        )
    onnx.checker.check_model(model, full_check=True)
    layers_of(model)


def layers_of(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """The layer table that the exporter wrote into the metadata."""
    try:
        rows: Any = parse_json(metadata_of(model)["sanp.layers"])
    except ValueError as error:
        raise InputError(f"the layer table of the model is not JSON ({error}); export the model again") from error
    if not isinstance(rows, list):
        raise InputError(f"the layer table of the model is a {type(rows).__name__}, expected a list; export it again")
    return tuple(Layer.from_json(row) for row in rows)


def image_of(model: onnx.ModelProto) -> tuple[list[int], bool]:
    """[C, H, W] of the images that the layer table is for, and whether others may have another height and width."""
    written = metadata_of(model).get(IMAGE_KEY)
    if written is None:
        return [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]], False
    try:
        shape = parse_json(written)
    except ValueError as error:
        raise InputError(f"the image size in the model is not JSON ({error}); export the model again") from error
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(v) is int and v > 0 for v in shape):
        raise InputError(f"the image size in the model is {shape!r:.100}, expected [C, H, W]; export the model again")
    return shape, True


def outputs_of(model: onnx.ModelProto) -> tuple[Output, ...]:
    """The outputs of the network, without gates and cost.

    A size that is no number depends on that of the image.
    """
    values = [value for value in model.graph.output if not is_reserved(value.name)]
    shapes = [list(value.type.tensor_type.shape.dim)[1:] for value in values]
    return tuple(
        Output(value.name, tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in shape))
        for value, shape in zip(values, shapes)
    )


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write a model so that the path holds either the old file or the complete new one; ConfigError if it cannot."""
    write_atomically(Path(path), dumps(model))


def dumps(model: onnx.ModelProto) -> bytes:
    """The content of the file; equal models give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))
