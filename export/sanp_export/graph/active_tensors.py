"""Tensors that say which channels are active, built once per distinct support."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import OPEN_OP, OPEN_SUFFIX, SCALE, gated_convs, layer_of
from sanp_runtime.contract import ACTIVE_PREFIX
from sanp_runtime.network.support import AnyOf, Dense, Gate, Support

_ROWS = "active_N"


def name_rows(graph: gs.Graph) -> None:
    """Give every sum of scales whose rows are not those of the batch a row dimension of its own name, and shared gates
    the rows of what they are made from.

    Gates that masks decide have one row or one for each sample. ONNX Runtime shares buffers between tensors whose
    dimensions have one name, and fails where one of them then has a single row and the other one for each sample.
    """
    batch = (graph.inputs[0].shape[0], _ROWS)
    for node in graph.nodes:
        if node.op == "Add" and node.name.startswith(ACTIVE_PREFIX):
            output = node.outputs[0]
            if any(item.shape is None or item.shape[0] not in batch for item in node.inputs):
                output.shape = [f"{output.name}.N", output.shape[1]]
    for node in graph.nodes:
        if node.op == OPEN_OP and node.name.endswith(OPEN_SUFFIX):
            opened, rows = node.outputs[0], node.inputs[0].shape[0]
            opened.shape = [rows, opened.shape[1]]
            for reader in opened.outputs:
                if reader.op == "Mul":  # the shift of a layer that follows
                    reader.outputs[0].shape = [rows, opened.shape[1]]


class ActiveTensors:
    """Turns supports into tensors [N or 1, C] whose nonzero entries are the active channels."""

    def __init__(self, graph: gs.Graph) -> None:
        self._graph = graph
        self._scales = {layer_of(conv): conv.inputs[SCALE] for conv in gated_convs(graph)}
        self._built: dict[Support, gs.Tensor] = {}
        self._constants: dict[str, gs.Constant] = {}
        self._batch: gs.Tensor | None = None
        self._taken = {node.name for node in graph.nodes}

    def build(self, support: Support) -> gs.Tensor:
        """The tensor for one support; repeated calls return the same one."""
        if support not in self._built:
            self._built[support] = self._make(support)
        return self._built[support]

    def _make(self, support: Support) -> gs.Tensor:
        if isinstance(support, Gate):
            return self._scales[support.layer]
        if isinstance(support, Dense):
            return self.constant(f"sanp.all_active.{support.channels}", np.ones((1, support.channels), np.float32))
        if isinstance(support, AnyOf):
            # What a deeper block needs is what the block before it needed, and one scale more.
            *before, last = support.parts
            result = self.build(before[0] if len(before) == 1 else AnyOf(tuple(before)))
            return self.emit("Add", [result, self.build(last)], int(result.shape[1]))
        parts = [self._expand(self.build(part)) for part in support.parts]
        return self.emit("Concat", parts, sum(int(part.shape[1]) for part in parts), {"axis": 1})

    def _expand(self, tensor: gs.Tensor) -> gs.Tensor:
        """Broadcast [1 or N, C] to [N, C]: Concat, unlike Add, does not broadcast."""
        channels = int(tensor.shape[1])
        width = self.constant(f"sanp.width.{channels}", np.array([channels]))
        shape = self.emit("Concat", [self.batch_size(), width], None, {"axis": 0}, np.int64)
        return self.emit("Expand", [tensor, shape], channels)

    def batch_size(self) -> gs.Tensor:
        """The batch dimension of the network's input, int64 [1]."""
        if self._batch is None:
            attributes = {"start": 0, "end": 1}
            self._batch = self.emit("Shape", [self._graph.inputs[0]], None, attributes, np.int64)
        return self._batch

    def constant(self, name: str, values: np.ndarray) -> gs.Constant:
        """The constant of this name, made at the first request."""
        return self._constants.setdefault(name, gs.Constant(name, values))

    def emit(
        self,
        op: str,
        inputs: list[gs.Tensor],
        channels: int | None = None,
        attributes: Mapping[str, object] | None = None,
        dtype: type = np.float32,
    ) -> gs.Tensor:
        """Append one standard node and return its output, of shape [active_N, channels] if channels are given."""
        number = len(self._graph.nodes)
        while f"{ACTIVE_PREFIX}{number}" in self._taken:  # of an earlier pass, since when nodes have been removed
            number += 1
        name = f"{ACTIVE_PREFIX}{number}"
        self._taken.add(name)
        shape = [_ROWS, channels] if channels is not None else None
        output = gs.Variable(name, dtype, shape)
        self._graph.nodes.append(gs.Node(op, name, dict(attributes or {}), inputs, [output]))
        return output
