"""Which channels of each tensor in a traced network can be nonzero: the support algebra, one rule per operation.

An operation without a rule is dense: never wrong, at worst not sparse. The exporter has the same rules for the
operators of ONNX (`sanp_export/graph/trace_support.py`); a test and every export compare the two.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from sanp.tracing import operations
from sanp.tracing.gated_layer import GatedLayer, followed
from sanp.tracing.trace import evaluation, first_input, shape_of
from sanp_export.graph.closed_channels import (
    Closed,
    beside,
    concatenation,
    elementwise,
    keeps_zero,
    product,
    quotient,
    select,
    support_of,
)
from sanp_runtime.network.support import Gate, Support


def supports(
    traced: fx.GraphModule, gate_of: Callable[[fx.Node, Callable[[Any], Support]], Support | None] | None = None
) -> dict[Any, Support]:
    """Support of every node whose output is a tensor with a channel axis.

    gate_of: the support that a node would have with a gate which is not there yet, or None; it is given the node and
    what tells the supports of the nodes before it.
    """
    table: dict[Any, Closed | None] = {}

    def before(node: Any) -> Support:
        shape = shape_of(node)
        return support_of(table.get(node), shape[1] if shape is not None and len(shape) > 1 else 1)

    with evaluation(traced):  # a rule calls modules: a dropout in training would draw random numbers, and drop
        for node in traced.graph.nodes:
            shape = shape_of(node)
            planned = None if gate_of is None else gate_of(node, before)
            if planned is not None:
                table[node] = Closed(planned)
            elif shape is not None and node.op.startswith("call"):
                rule = _module_rule if node.op == "call_module" else _call_rule
                table[node] = rule(traced, node, table)
            elif shape == () and node.op == "get_attr":
                table[node] = Closed(None, float(operator.attrgetter(str(node.target))(traced)))
    return {
        node: support_of(table.get(node), shape[1])
        for node in traced.graph.nodes
        if (shape := shape_of(node)) is not None and len(shape) >= 2
    }


def _module_rule(traced: fx.GraphModule, node: fx.Node, table: dict[Any, Closed | None]) -> Closed | None:
    module = traced.get_submodule(str(node.target))
    source = first_input(node)
    known = table.get(source)
    if isinstance(module, GatedLayer):
        return Closed(followed(module, traced) or Gate(str(node.target)))
    if isinstance(module, operations.EXACT_MODULES):
        return elementwise([known], lambda value: module(torch.full((1, 1, 1, 1), value)).item())
    if isinstance(module, operations.ZERO_MODULES):
        return keeps_zero(known) if not isinstance(module, operations.ADAPTIVE) or _divides(node) else None
    if isinstance(module, nn.ConstantPad2d):
        return known if known is not None and module.value == known.value else None
    if isinstance(module, (nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)):
        return known
    if isinstance(module, (nn.Flatten, nn.Unflatten)):
        return known if _keeps_channels(node) else None
    return None


def _call_rule(traced: fx.GraphModule, node: fx.Node, table: dict[Any, Closed | None]) -> Closed | None:
    target, method = node.target, node.op == "call_method"

    def one_of(calls: tuple[Any, ...], methods: tuple[str, ...] = ()) -> bool:
        return target in methods if method else target in calls

    known = table.get(first_input(node))
    if one_of(operations.EXACT_CALLS, operations.EXACT_METHODS):
        return _combine(node, table, elementwise)
    if one_of(operations.PRODUCTS, operations.PRODUCT_METHODS):
        return _combine(node, table, product)
    if one_of(operations.QUOTIENTS, operations.QUOTIENT_METHODS):
        return _combine(node, table, quotient)
    if one_of((torch.where,)) and len(node.args) == 3:
        return select(*(_operand(item, node, table) for item in node.args))
    if one_of(operations.ZERO_CALLS, operations.ZERO_METHODS):
        return keeps_zero(known) if target not in operations.ADAPTIVE_CALLS or _divides(node) else None
    if one_of((operator.pow, torch.pow), ("pow",)):
        exponent = node.args[1] if len(node.args) > 1 else node.kwargs.get("exponent")
        return keeps_zero(known) if isinstance(exponent, (int, float)) and exponent > 0 else None
    if one_of(operations.SAME_CALLS, operations.SAME_METHODS):
        return known
    if one_of(operations.RESHAPES, operations.RESHAPE_METHODS):
        return known if _keeps_channels(node) else None
    if one_of(operations.REDUCTIONS, operations.REDUCTION_METHODS):
        return keeps_zero(known) if _reduces_inside_channels(node) else None
    if one_of((torch.permute,), ("permute",)):
        return _permutation(node, table)
    if one_of(tuple(operations.MOVES), operations.MOVE_METHODS):
        return known if _moves_inside_channels(node) else None
    if one_of((), ("expand",)):
        return _operand(first_input(node), node, table)
    if one_of((torch.lerp,), ("lerp",)):
        return keeps_zero(elementwise([_operand(item, node, table) for item in node.args[:2]], lambda first, _: first))
    if one_of((torch.addcmul,), ("addcmul",)):
        base, one, other = (_operand(item, node, table) for item in node.args)
        return keeps_zero(elementwise([base, keeps_zero(product([one, other], operator.mul))], operator.add))
    if one_of((torch.masked_fill,), ("masked_fill",)):
        source, mask, value = (_operand(item, node, table) for item in node.args)
        return select(mask, value, source)
    if one_of((torch.zeros_like, torch.ones_like)):
        return Closed(None, float(target is torch.ones_like))
    if one_of(operations.JOINS):
        return _concatenation(node, table)
    if one_of((F.pad,)):
        return _padding(node, known)
    if one_of((operator.getitem,)):
        source = first_input(node)
        if isinstance(source, fx.Node) and source.target in (torch.max, torch.min, "max", "min"):
            inside = node.args[1] == 0 and _reduces_inside_channels(source)
            return keeps_zero(table.get(first_input(source))) if inside else None
        return known if _slices_inside_channels(node) else None
    return None


def _combine(
    node: fx.Node,
    table: dict[Any, Closed | None],
    join: Callable[[list[Closed | None], Callable[..., float]], Closed | None],
) -> Closed | None:
    """Join the operands' values by running the operation on those of their closed channels."""
    tensors = [item for item in node.all_input_nodes if shape_of(item) is not None]
    if len(tensors) != len(node.all_input_nodes):
        return None
    numbers = [item for item in node.args if isinstance(item, (bool, int, float))] if join is not elementwise else []
    places: dict[int, int] = {}
    operands: list[Closed | None] = []
    for place, item in enumerate(node.args):
        if isinstance(item, fx.Node) or (numbers and isinstance(item, (bool, int, float))):
            places[place] = len(operands)
            operands.append(_operand(item, node, table))
    if any(isinstance(item, fx.Node) for item in node.kwargs.values()):
        return None

    def run(*values: float) -> float:
        arguments = [torch.tensor(values[places[at]]) if at in places else item for at, item in enumerate(node.args)]
        target = getattr(torch.Tensor, node.target) if isinstance(node.target, str) else node.target
        return float(target(*arguments, **node.kwargs))

    return join(operands, run)


def _operand(item: Any, result: fx.Node, table: dict[Any, Closed | None]) -> Closed | None:
    """What is known of an operand, unless it is broadcast along the channels of the result."""
    if isinstance(item, (bool, int, float)):
        return Closed(None, float(item))
    known, shape, whole = table.get(item), shape_of(item), shape_of(result)
    if known is None or known.support is None:
        return known
    same = shape is not None and whole is not None and len(shape) == len(whole) and shape[:2] == whole[:2]
    return known if same else None


def _divides(node: fx.Node) -> bool:
    """Whether an adaptive pooling has windows of one size; the exporter writes others as gathers, which are dense."""
    before, after = shape_of(first_input(node)), shape_of(node)
    return before is not None and after is not None and not any(b % a for b, a in zip(before[2:], after[2:]))


def _keeps_channels(node: fx.Node) -> bool:
    """Whether axes 0 and 1 keep their sizes: row-major order then keeps their contents."""
    before, after = shape_of(first_input(node)), shape_of(node)
    return before is not None and after is not None and len(after) >= 2 and before[:2] == after[:2]


def _reduces_inside_channels(node: fx.Node) -> bool:
    before = shape_of(first_input(node))
    axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return before is not None and all(isinstance(axis, int) and axis % len(before) >= 2 for axis in _listed(axes))


def _moves_inside_channels(node: fx.Node) -> bool:
    """Whether a flip, roll, rotation, transposition or narrowing names axes inside the channels alone."""
    shape = shape_of(node)
    places = operations.MOVE_PLACES[node.target]
    named = [axis for place in places if place < len(node.args) for axis in _listed(node.args[place])]
    return (
        shape is not None and bool(named) and not node.kwargs
        and all(isinstance(axis, int) and axis % len(shape) >= 2 for axis in named)
    )  # fmt: skip


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _permutation(node: fx.Node, table: dict[Any, Closed | None]) -> Closed | None:
    """A permutation that leaves axes 0 and 1; one straight after another is taken together with it."""
    source = first_input(node)
    order = _order(node)
    if isinstance(source, fx.Node) and source.target in (torch.permute, "permute"):
        before = _order(source)
        source, order = first_input(source), tuple(before[axis] for axis in order)
    return table.get(source) if order[:2] == (0, 1) else None


def _order(node: fx.Node) -> tuple[int, ...]:
    order = _listed(node.args[1]) if len(node.args) == 2 else node.args[1:]
    return tuple(axis % len(order) for axis in order if isinstance(axis, int))


def _slices_inside_channels(node: fx.Node) -> bool:
    """Whether axes 0 and 1 are taken whole: a forward slice that leaves an axis its size is one too."""
    index, before, after = node.args[1], shape_of(first_input(node)), shape_of(node)
    slices = [item for item in index if isinstance(item, slice)] if isinstance(index, (tuple, list)) else []
    return (
        isinstance(index, (tuple, list))
        and len(slices) == len(index)
        and all(item.step in (None, 1) for item in slices[:2])
        and before is not None
        and after is not None
        and before[:2] == after[:2]
    )


def _concatenation(node: fx.Node, table: dict[Any, Closed | None]) -> Closed | None:
    tensors = node.args[0] if node.args else node.kwargs.get("tensors")
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    shape = shape_of(node)
    if not isinstance(tensors, (list, tuple)) or shape is None or not isinstance(axis, int):
        return None
    shapes = [shape_of(item) for item in tensors]
    parts = [table.get(item) for item in tensors]
    if axis % len(shape) == 1:
        return concatenation(parts, [item[1] for item in shapes if item is not None])
    return beside(parts) if axis % len(shape) > 1 else None


def _padding(node: fx.Node, known: Closed | None) -> Closed | None:
    """Padding of the spatial axes, with the value of the closed channels or with the tensor's own elements."""
    shape = shape_of(node)
    pads = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    mode = node.kwargs.get("mode", node.args[2] if len(node.args) > 2 else "constant")
    value = node.kwargs.get("value", node.args[3] if len(node.args) > 3 else 0) or 0
    if known is None or shape is None or not isinstance(pads, (list, tuple)) or any(pads[2 * (len(shape) - 2) :]):
        return None
    return known if mode != "constant" or value == known.value else None
