"""Drop |x| in front of a gate where x is never negative: behind a ReLU it is a pass over the map for nothing."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from sanp_export.graph.patterns import GATE_X, channel_gates, constant
from sanp_runtime.contract import GATED_CONV

# Never negative, whatever they read.
_NEVER_NEGATIVE = ("Relu", "Abs", "Sigmoid", "HardSigmoid", "Softmax", "Exp", "Sqrt", "Softplus")
# As negative as their operands.
_AS_OPERANDS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Dropout", "Cast")
_ALL_OPERANDS = ("Add", "Mul", "Concat", "Sum", "Max")


def drop_magnitudes(graph: gs.Graph) -> int:
    """Let a gate read x itself where it reads Abs(x) and no element of x can be negative.

    Runs after activations were folded into clamps. An operator without a rule keeps its Abs.
    """
    known: dict[int, bool] = {}
    changes = 0
    for gate in channel_gates(graph):
        producers = gate.inputs[GATE_X].inputs
        if producers and producers[0].op == "Abs" and _is_never_negative(producers[0].inputs[0], known):
            gate.inputs[GATE_X] = producers[0].inputs[0]
            changes += 1
    return changes


def _is_never_negative(tensor: gs.Tensor, known: dict[int, bool]) -> bool:
    """Walks upstream with an explicit stack: deep networks exceed Python's recursion limit."""
    pending = [tensor]
    while pending:
        current = pending[-1]
        missing = [item for item in _asked(current) if id(item) not in known]
        if id(current) in known or not missing:
            known.setdefault(id(current), _rule(current, known))
            pending.pop()
        else:
            pending.extend(missing)
    return known[id(tensor)]


def _asked(tensor: gs.Tensor) -> list[gs.Tensor]:
    """The operands that decide whether a tensor can be negative."""
    if not tensor.inputs or constant(tensor) is not None:
        return []
    node = tensor.inputs[0]
    if node.op in _AS_OPERANDS:
        return list(node.inputs[:1])
    return list(node.inputs) if node.op in _ALL_OPERANDS else []


def _rule(tensor: gs.Tensor, known: dict[int, bool]) -> bool:
    values = constant(tensor)
    if values is not None:
        return bool((values >= 0).all())
    if not tensor.inputs:
        return False
    node = tensor.inputs[0]
    if node.op == GATED_CONV:
        return bool(node.attrs["act_min"] >= 0)
    if node.op == "Clip":
        low = constant(node.inputs[1]) if len(node.inputs) > 1 and not node.inputs[1].is_empty() else None
        return low is not None and bool(low >= 0)
    asked = _asked(tensor)
    return node.op in _NEVER_NEGATIVE or (bool(asked) and all(known[id(item)] for item in asked))
