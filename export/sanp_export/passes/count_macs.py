"""Optional output `macs` [N]: what each sample really cost, from standard operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.active_tensors import ActiveTensors, name_rows
from sanp_runtime.contract import MACS
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import layer_cost
from sanp_runtime.network.support import Dense, Support
from sanp_targets.errors import ExportError


def count_macs(graph: gs.Graph, layers: Sequence[Layer]) -> int:
    """Add `macs` = sum over layers of H*W*kh*kw * (open outputs meeting active inputs) + saliency modules.

    For users of plain ONNX Runtime: our own runtime computes the same from the gates, without these nodes. Float32, so
    totals above 2^24 carry a relative rounding of about 1e-7. Raises ExportError if the name `macs` is taken.
    """
    if any(output.name == MACS for output in graph.outputs):
        raise ExportError("the network already has an output called 'macs'; rename it before the export")
    counter = _Counter(graph)
    constant = 0.0
    terms: list[gs.Tensor] = []
    for layer in layers:
        out = layer.outputs
        cost = layer_cost(layer)
        constant += cost.constant
        if isinstance(out, Dense) and isinstance(layer.support, Dense):
            constant += cost.per_pair * layer.c_out * (layer.c_in // layer.groups)
        else:
            terms.append(counter.pairs(layer, out, float(cost.per_pair)))
    total = counter.emit("Sum", [*terms, counter.constant("sanp.macs.constant", np.array([constant], np.float32))])
    shape = counter.batch_size()
    output = gs.Variable(MACS, np.float32, ["N"])
    graph.nodes.append(gs.Node("Expand", "macs", inputs=[total, shape], outputs=[output]))
    graph.outputs.append(output)
    name_rows(graph)
    return 1


class _Counter(ActiveTensors):
    """Counts pairs of open outputs and active inputs, group by group."""

    def __init__(self, graph: gs.Graph) -> None:
        super().__init__(graph)
        self._counted: dict[tuple[Support, int], gs.Tensor] = {}

    def pairs(self, layer: Layer, out: Support, factor: float) -> gs.Tensor:
        """factor * sum over groups(open outputs * active inputs) of one layer, [N or 1]."""
        active = self._per_group(layer.support, layer.groups, layer.c_in)
        product = self.emit("Mul", [active, self._per_group(out, layer.groups, layer.c_out)])
        axis = self.constant("sanp.axis.1", np.array([1]))
        count = self.emit("ReduceSum", [product, axis], attributes={"keepdims": 0})
        return self.emit("Mul", [count, self.constant(f"sanp.macs.{layer.name}", np.array([factor], np.float32))])

    def _per_group(self, support: Support, groups: int, channels: int) -> gs.Tensor:
        """Active channels in each group, [N or 1, groups]."""
        if isinstance(support, Dense):
            full = np.full((1, groups), channels / groups, np.float32)
            return self.constant(f"sanp.full.{groups}.{channels}", full)
        key = (support, groups)
        if key not in self._counted:
            zero = self.constant("sanp.zero", np.zeros(1, np.float32))
            nonzero = self.emit("Greater", [self.build(support), zero], dtype=bool)
            code = self.emit("Cast", [nonzero], attributes={"to": 1})
            shape = self.constant(f"sanp.groups.{groups}", np.array([0, groups, -1]))
            grouped = self.emit("Reshape", [code, shape])
            axis = self.constant("sanp.axis.2", np.array([2]))
            self._counted[key] = self.emit("ReduceSum", [grouped, axis], attributes={"keepdims": 0})
        return self._counted[key]
