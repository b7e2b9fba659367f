"""Write a graph of opset 20 in the forms of opset 17, the newest that TensorRT 8.5 reads.

Its parser does not refuse what it does not know. Read in its source (onnx-tensorrt, branch 8.5-GA): ReduceMean whose
axes are an input is reduced over *all* axes, and Shape ignores `start` and `end`. So the forms matter, not the number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import constant
from sanp_targets.errors import ExportError

OPSET = 17

# Same signature, other meaning of a value since 18: nothing that a gated CNN needs.
_CHANGED = ("GridSample", "DFT")


def lower_opset(graph: gs.Graph) -> int:
    """Rewrite newer forms; ExportError for an operator or an attribute that opset 17 cannot express.

    1. Constant nodes become constants. 2. Reductions: axes from an input into the attribute. 3. Shape with a range:
    Shape and Gather. 4. Split into equal parts: explicit sizes. 5. Attributes newer than 17 that hold their default are
    dropped.
    """
    changes = 0
    for node in list(graph.nodes):
        if node.op == "Constant":
            changes += _fold(node)
        elif node.op.startswith("Reduce") and node.op != "ReduceSum":
            changes += _axes_to_attribute(node)
        elif node.op == "Shape" and (node.attrs.get("start") or node.attrs.get("end") is not None):
            changes += _shape_and_gather(graph, node)
        elif node.op == "Split" and "num_outputs" in node.attrs:
            changes += _explicit_split(node)
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    for node in graph.nodes:
        if node.domain in (None, "", "ai.onnx"):
            changes += _conform(node)
    graph.opset = OPSET
    return changes


def _fold(node: gs.Node) -> int:
    value = constant(node.outputs[0])
    if value is None:
        raise ExportError(f"{node.name}: is a constant of an unusual kind, expected a tensor; report the network")
    folded = gs.Constant(node.outputs[0].name, np.array(value))
    for reader in list(node.outputs[0].outputs):
        reader.inputs = [folded if tensor is node.outputs[0] else tensor for tensor in reader.inputs]
    node.outputs.clear()
    return 1


def _axes_to_attribute(node: gs.Node) -> int:
    noop = node.attrs.pop("noop_with_empty_axes", 0)
    if len(node.inputs) < 2:
        if noop and "axes" not in node.attrs:
            raise ExportError(f"{node.name}: reduces nothing, expected axes; remove it from the network")
        return 0
    node.attrs["axes"] = [int(axis) for axis in _known(node, 1)]
    del node.inputs[1]
    return 1


def _shape_and_gather(graph: gs.Graph, node: gs.Node) -> int:
    rank = len(node.inputs[0].shape)
    wanted = list(range(rank))[node.attrs.pop("start", 0) : node.attrs.pop("end", None)]
    whole = gs.Variable(f"{node.outputs[0].name}.all", np.int64, [rank])
    result = node.outputs[0]
    node.outputs = [whole]
    picked = gs.Constant(f"{node.name}.range", np.array(wanted, np.int64))
    graph.nodes.append(gs.Node("Gather", f"{node.name}/range", {"axis": 0}, [whole, picked], [result]))
    return 1


def _explicit_split(node: gs.Node) -> int:
    parts = int(node.attrs.pop("num_outputs"))
    size = node.inputs[0].shape[node.attrs.get("axis", 0)]
    if not isinstance(size, int):
        raise ExportError(f"{node.name}: splits an axis of unknown size, expected a fixed one; split by sizes")
    step = -(-size // parts)
    sizes = [min(step, size - step * index) for index in range(parts)]
    node.inputs.append(gs.Constant(f"{node.name}.sizes", np.array(sizes, np.int64)))
    return 1


def _known(node: gs.Node, index: int) -> Any:
    value = constant(node.inputs[index])
    if value is None:
        raise ExportError(f"{node.name}: its axes are computed at run time, expected constants; TensorRT needs them")
    return np.atleast_1d(value)


def _conform(node: gs.Node) -> int:
    """Drop newer attributes that hold their default; ExportError if the node means something opset 17 has not."""
    try:
        newest = onnx.defs.get_schema(node.op, 20, "")
        old = onnx.defs.get_schema(node.op, OPSET, "")
    except onnx.defs.SchemaError as error:
        raise ExportError(
            f"{node.name}: operator {node.op} does not exist in opset {OPSET}, which TensorRT 8.5 to 11 read; "
            "replace it in the network"
        ) from error
    if newest.since_version <= OPSET:
        return 0
    extra = [name for name in node.attrs if name not in old.attributes]
    strange = [name for name in extra if not _is_default(newest, name, node.attrs[name])]
    if strange or len(node.inputs) > old.max_input or node.op in _CHANGED:
        found = ", ".join(f"{name}={node.attrs[name]!r}" for name in strange) or f"{len(node.inputs)} inputs"
        raise ExportError(
            f"{node.name}: {node.op} with {found} is newer than opset {OPSET}, which TensorRT 8.5 to 11 read; "
            "use the plain form of the operation"
        )
    for name in extra:
        del node.attrs[name]
    return len(extra)


def _is_default(schema: Any, name: str, value: Any) -> bool:
    """A new attribute that repeats its default says nothing; the default of dilations is in the text, all ones."""
    if name not in schema.attributes:
        return False
    default = schema.attributes[name].default_value
    if default.type == onnx.AttributeProto.UNDEFINED:
        return name == "dilations" and set(value) == {1}
    known = onnx.helper.get_attribute_value(default)
    return bool(value == (known.decode() if isinstance(known, bytes) else known))
