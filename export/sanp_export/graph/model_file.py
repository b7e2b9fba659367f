"""Between ONNX files and the graphs that passes work on: model-local functions, control inputs, metadata, checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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
    inverted_residual_function,
    max_pool_function,
    pixel_gated_conv_function,
)
from sanp_export.graph import weight_files
from sanp_export.graph.patterns import GATE_BIAS, GATE_THRESHOLD, GATE_W1, QLINEAR_GATE_SHIFT, SCALE_SUFFIX
from sanp_runtime.bundle.files import Content, write_together
from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.reader import hash_file
from sanp_runtime.contract import (
    CHANNEL_GATE,
    DOMAIN,
    GATE_SUFFIX,
    GATED_CONV,
    GATED_QLINEAR_CONV,
    INVERTED_RESIDUAL,
    MASK_PREFIX,
    MAX_POOL,
    PIXEL_GATED_CONV,
    QLINEAR_CHANNEL_GATE,
    RESERVED_PREFIXES,
    mask_input,
    threshold_input,
)
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import Output, is_reserved
from sanp_runtime.network.sizes import SizeTable, problem
from sanp_targets.errors import InputError

SCHEMA_VERSION = 1
CHECKSUM_KEY = "sanp.sha256"
IMAGE_KEY = "sanp.image"  # in the metadata of a model for images of any size: [C, H, W] of the layer table, as JSON
RANGES_KEY = "sanp.ranges"  # in the metadata of a model that was trained for bytes, see `ranges_of`
SIZES_KEY = "sanp.sizes"  # in the metadata of a model for a list of image sizes: a `SizeTable` for each, as JSON
WEIGHTS_KEY = "sanp.weights"  # size and sha256 of the file beside a model, which has the weights, as JSON
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
    graph = gs.import_onnx(bare)
    weight_files.attach(graph)
    return graph


def to_model(graph: gs.Graph, metadata: dict[str, str]) -> onnx.ModelProto:
    """The complete file: functions for the operators in use, masks and thresholds as overridable inputs, metadata,
    checksum.

    Raises onnx.checker.ValidationError if a pass has broken the graph.
    """
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    weight_files.detach(graph, RESERVED_PREFIXES)
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
    masks |= {mask for node in model.graph.node if (mask := _mask_of(node)) is not None}  # of layers inside of a block
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
    weight_files.check(model)
    return model


def _mask_of(node: onnx.NodeProto) -> str | None:
    """The mask that a gate reads, or a multiplication that is one; None for other nodes."""
    if node.op_type in _GATES:
        return mask_input(node.name.removesuffix(GATE_SUFFIX))
    return mask_input(node.name.removesuffix(SCALE_SUFFIX)) if node.name.endswith(SCALE_SUFFIX) else None


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
    functions += [inverted_residual_function()] if INVERTED_RESIDUAL in kinds else []
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
    _find_weights(path, model)
    weight_files.check(model)
    layers, tables = layers_of(model), sizes_of(model)
    if tables:
        (_, height, width), _ = image_of(model)
        wrong = problem(tables, (height, width), layers, [output.name for output in outputs_of(model)])
        if wrong is not None:
            raise InputError(f"{path}: its list of image sizes is {wrong}; export it again")


def _file_of(path: Path, tensors: Sequence[TensorProto]) -> str:
    """The name of the file beside a model that these tensors stand in; a model that was renamed keeps it."""
    names = {weight_files.place(tensor).path for tensor in tensors}
    if len(names) != 1 or any(Path(name).name != name or name in ("", "..") for name in names):
        raise InputError(
            f"{path}: its weights stand in {', '.join(sorted(names)) or 'no file'}, expected one file beside it; "
            "export it again"
        )
    return names.pop()


def _find_weights(path: Path, model: onnx.ModelProto) -> None:
    """Let the tensors whose values stand in the file beside the model name their place; InputError unless it is whole.

    The checksum of the model covers that of the file.
    """
    tensors, written = weight_files.external(model), metadata_of(model).get(WEIGHTS_KEY)
    if not tensors and written is None:
        return
    row = parse_json(written or "null")
    if not isinstance(row, dict) or set(row) != {"size", "sha256"}:
        raise InputError(f"{path}: says nothing of the file that its weights are in; export it again")
    file = path.with_name(_file_of(path, tensors))
    size = file.stat().st_size if file.is_file() else None
    if size != row["size"]:
        found = "is missing" if size is None else f"has {size} bytes"
        raise InputError(
            f"{file}: {found}, expected the {row['size']} bytes of weights of {path.name}; copy it beside the model"
        )
    if hash_file(file).sha256 != row["sha256"]:
        raise InputError(f"{file}: is not what was exported with {path.name}, or was damaged; copy or export it again")
    for tensor in tensors:
        at = weight_files.place(tensor)
        count = int(np.prod(tensor.dims)) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if at.path != file.name or at.offset < 0 or at.length != count or at.offset + count > size:
            raise InputError(f"{path}: the weights {tensor.name} are not a part of {file.name}; export it again")
        weight_files.moved(tensor, replace(at, path=str(file.resolve())))
    helper.set_model_props(model, {key: value for key, value in metadata_of(model).items() if key != WEIGHTS_KEY})
    seal(model)


def layers_of(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """The layer table that the exporter wrote into the metadata."""
    try:
        rows: Any = parse_json(metadata_of(model)["sanp.layers"])
    except ValueError as error:
        raise InputError(f"the layer table of the model is not JSON ({error}); export the model again") from error
    if not isinstance(rows, list):
        raise InputError(f"the layer table of the model is a {type(rows).__name__}, expected a list; export it again")
    return tuple(Layer.from_json(row) for row in rows)


def ranges_of(model: onnx.ModelProto) -> dict[str, dict[str, list[float]]]:
    """Layer -> "x", "y" and perhaps "residual" -> smallest and largest value, as the network was trained with bytes.

    Empty for a network that was not. Raises InputError for anything else in their place.
    """
    written = metadata_of(model).get(RANGES_KEY)
    if written is None:
        return {}
    try:
        found: Any = parse_json(written)
        rows = {(layer, role): limits for layer, roles in found.items() for role, limits in roles.items()}
        good = all(
            role in ("x", "y", "residual") and len(limits) == 2 and limits[0] <= 0 <= limits[1]
            for (_, role), limits in rows.items()
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the ranges in the model are not readable ({error}); export the model again") from error
    if not good:
        raise InputError(
            f"the ranges in the model are {written[:100]}, expected a smallest value up to 0 and a largest from 0 for "
            "each tensor; export the model again"
        )
    return {layer: dict(roles) for layer, roles in found.items()}


def image_of(model: onnx.ModelProto) -> tuple[list[int], bool]:
    """[C, H, W] of the images that the layer table is for, and whether others may have any height and width."""
    written = metadata_of(model).get(IMAGE_KEY)
    if written is None:
        return [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]], False
    try:
        shape = parse_json(written)
    except ValueError as error:
        raise InputError(f"the image size in the model is not JSON ({error}); export the model again") from error
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(v) is int and v > 0 for v in shape):
        raise InputError(f"the image size in the model is {shape!r:.100}, expected [C, H, W]; export the model again")
    return shape, not sizes_of(model)


def sizes_of(model: onnx.ModelProto) -> tuple[SizeTable, ...]:
    """The sizes that images may have, of a model that was exported for a list of them."""
    try:
        rows: Any = parse_json(metadata_of(model).get(SIZES_KEY, "[]"))
    except ValueError as error:
        raise InputError(f"the image sizes in the model are not JSON ({error}); export the model again") from error
    if not isinstance(rows, list):
        raise InputError(f"the image sizes in the model are a {type(rows).__name__}, expected a list; export it again")
    return tuple(map(SizeTable.from_json, rows))


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
    write_together(files_of(model, Path(path)))


def weights_path(path: Path) -> Path:
    """Where the weights of a model are that one file cannot hold: `model.onnx.data` beside `model.onnx`."""
    return path.with_name(f"{path.name}.data")


def files_of(model: onnx.ModelProto, path: Path) -> dict[Path, Content]:
    """What has to be written for a model, itself last; equal models give equal bytes."""
    if not weight_files.external(model):
        return {path: bytes(model.SerializeToString(deterministic=True))}
    light, layout, file = onnx.ModelProto(), weight_files.Layout(), weights_path(path)
    light.CopyFrom(model)
    for tensor in weight_files.external(light):
        at = weight_files.place(tensor)
        weight_files.moved(tensor, weight_files.Place(file.name, layout.add(at), at.length))
    row = json.dumps({"size": layout.size, "sha256": layout.sha256()})
    helper.set_model_props(light, {**metadata_of(light), WEIGHTS_KEY: row})
    seal(light)
    return {file: layout.write, path: bytes(light.SerializeToString(deterministic=True))}
