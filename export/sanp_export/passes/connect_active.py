"""Tell every gated convolution which of its input channels are zero for certain."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.active_tensors import ActiveTensors, name_rows
from sanp_export.graph.patterns import IN_ACTIVE, X, gated_convs
from sanp_export.graph.trace_support import SupportTrace
from sanp_runtime.network.support import Dense


def connect_active(graph: gs.Graph) -> int:
    """Wire `in_active` from the scales upstream, following the support algebra.

    1. After a gated layer: its scale itself (nonzero = active); no node needed.
    2. After an addition: the sum of the operands' scales. Scales are never negative, so the sum is zero exactly where
       all of them are: a logical OR in one node.
    3. After a concatenation: the concatenation, each part expanded to the batch.
    4. Dense input: stays the constant of ones.
    """
    trace = SupportTrace()
    convs = list(gated_convs(graph))
    wanted = {conv.name: trace.of(conv.inputs[X]) for conv in convs}
    active = ActiveTensors(graph)
    changes = 0
    for conv in convs:
        support = wanted[conv.name]
        if not isinstance(support, Dense):
            conv.inputs[IN_ACTIVE] = active.build(support)
            changes += 1
    name_rows(graph)
    return changes
