"""The table of layers of a traced network: what each computes, and which channels reach it."""

from __future__ import annotations

import math
import operator
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from sanp.tracing.gated_layer import GatedLayer, PixelGatedLayer, followed
from sanp.tracing.support_rules import supports
from sanp.tracing.trace import first_input, shape_of
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Support

_CONV_CALLS: tuple[object, ...] = (F.conv2d, torch.conv2d)
_PRODUCT_CALLS: tuple[object, ...] = (torch.matmul, operator.matmul)


def layer_table(traced: fx.GraphModule) -> tuple[Layer, ...]:
    """Rows for every convolution and linear layer of a traced network, in execution order.

    What is computed twice from the same tensors is one layer: the exported graph holds it once.
    A layer is a module, or a functional call whose weights do not depend on the network's input. A head is an ungated
    layer on a 1x1 map that no gated layer follows.
    """
    support = supports(traced)
    rows: list[Layer] = []
    gated_after = _followed_by_gates(traced)
    repeated = _repeated(traced)
    for node in traced.graph.nodes:
        if node in repeated:
            continue
        for row in _rows(traced, node, support):
            head = not row.masked and row.out_hw == (1, 1) and node not in gated_after
            rows.append(replace(row, head=head))
    return tuple(rows)


def _repeated(traced: fx.GraphModule) -> set[fx.Node]:
    """Nodes that compute what an earlier one does: the same call of equal arguments."""
    first: dict[Any, fx.Node] = {}
    same: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        if node.op not in ("call_module", "call_function", "call_method", "get_attr"):
            continue
        arguments = fx.node.map_arg((node.args, node.kwargs), lambda item: same.get(item, item))
        # As text, in which a node is its name: arguments may be lists and slices, which are no keys.
        key = (node.op, str(node.target), repr(arguments))
        same[node] = first.setdefault(key, node)
    return {node for node, earlier in same.items() if node is not earlier}


def _rows(traced: fx.GraphModule, node: fx.Node, support: dict[fx.Node, Support]) -> tuple[Layer, ...]:
    if _is_self_attention(traced, node):
        return _attention(traced, node)
    row = _row(traced, node, support)
    return () if row is None else (row,)


def _row(traced: fx.GraphModule, node: fx.Node, support: dict[fx.Node, Support]) -> Layer | None:
    shape = shape_of(node)
    if shape is None:
        return None
    name, reads = str(node.target), support.get(first_input(node))
    module = traced.get_submodule(name) if node.op == "call_module" else None
    if isinstance(module, nn.Linear):
        return _linear(name, (module.out_features, module.in_features), shape, reads, _samples(traced))
    if isinstance(module, GatedLayer):
        row = _convolution(name, module.conv.weight.shape, module.conv.groups, shape, reads)
        follows = followed(module, traced)
        if follows is not None:
            return replace(row, follows=follows)
        return replace(row, gated=True, gate_hidden=module.gate_hidden, gate_direct=module.gate_direct)
    if isinstance(module, PixelGatedLayer):
        return _convolution(name, module.conv.weight.shape, module.conv.groups, shape, reads)
    if isinstance(module, nn.Conv2d):
        return _convolution(name, module.weight.shape, module.groups, shape, reads)
    weight = _weight_of_call(node)
    sizes = shape_of(weight)
    if weight is None or sizes is None:
        return None
    name = str(weight.target).removesuffix(".weight") if weight.op == "get_attr" else node.name
    if node.target in _CONV_CALLS:
        groups = node.kwargs.get("groups", node.args[6] if len(node.args) > 6 else 1)
        assert isinstance(groups, int)
        return _convolution(name, sizes, groups, shape, reads)
    return _linear(name, sizes if node.target is F.linear else sizes[::-1], shape, reads, _samples(traced))


def _convolution(
    name: str, weight: tuple[int, ...], groups: int, shape: tuple[int, ...], reads: Support | None
) -> Layer:
    c_in = weight[1] * groups
    kernel, out_hw = (int(weight[2]), int(weight[3])), (int(shape[2]), int(shape[3]))
    return Layer(name, c_in, weight[0], out_hw, kernel, groups, support=reads or Dense(c_in))


def _linear(name: str, weight: tuple[int, ...], shape: tuple[int, ...], reads: Support | None, samples: int) -> Layer:
    """A 1x1 convolution on as many positions as a sample has rows; features beyond axis 1 are not channels, so dense.

    The first axis of the shape may hold parts of each sample, as the windows of an attention do.
    """
    c_out, c_in = weight
    support = reads if reads is not None and len(shape) == 2 else Dense(c_in)
    return Layer(name, c_in, c_out, (math.prod(shape[:-1]) // samples, 1), support=support)


def _samples(traced: fx.GraphModule) -> int:
    """The number of samples of the example."""
    return next(shape[0] for node in traced.graph.nodes if node.op == "placeholder" and (shape := shape_of(node)))


def _is_self_attention(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether queries, keys and values are one tensor, so that they are one projection."""
    module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    return isinstance(module, nn.MultiheadAttention) and len(node.args) >= 3 and len(set(node.args[:3])) == 1


def _attention(traced: fx.GraphModule, node: fx.Node) -> tuple[Layer, ...]:
    """The two projections of a self-attention; products of activations are not counted, as everywhere."""
    module, shape = traced.get_submodule(str(node.target)), shape_of(node.args[0])
    assert isinstance(module, nn.MultiheadAttention) and shape is not None
    width, length = module.embed_dim, shape[1] if module.batch_first else shape[0]
    return tuple(
        _linear(f"{node.target}.{part}", (times * width, width), (1, length, width), None, 1)
        for part, times in (("in_proj", 3), ("out_proj", 1))
    )


def _weight_of_call(node: fx.Node) -> fx.Node | None:
    """The weights of a functional convolution or linear layer; None for another call and for weights of the input."""
    if node.op != "call_function" or not (node.target in _CONV_CALLS or node.target in (F.linear, *_PRODUCT_CALLS)):
        return None
    weight = node.kwargs.get("weight", node.args[1] if len(node.args) > 1 else None)
    sizes = shape_of(weight)
    if not isinstance(weight, fx.Node) or sizes is None or len(sizes) != (4 if node.target in _CONV_CALLS else 2):
        return None
    pending, seen = [weight], {weight}
    while pending:
        current = pending.pop()
        if current.op == "placeholder":
            return None
        fresh = [item for item in current.all_input_nodes if item not in seen]
        seen.update(fresh)
        pending.extend(fresh)
    return weight


def _followed_by_gates(traced: fx.GraphModule) -> set[fx.Node]:
    """Nodes on a path to a gated layer."""
    found: set[fx.Node] = set()
    for node in reversed(traced.graph.nodes):
        gated = node.op == "call_module" and isinstance(traced.get_submodule(str(node.target)), GatedLayer)
        if gated or node in found:
            found.update(node.all_input_nodes)
    return found


_UNCOUNTED_MODULES = (nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase)
_UNCOUNTED_CALLS = (
    *_CONV_CALLS,
    *_PRODUCT_CALLS,
    F.linear,
    F.conv1d,
    F.conv3d,
    F.conv_transpose2d,
    torch.bmm,
    torch.einsum,
)


def uncounted(traced: fx.GraphModule) -> tuple[str, ...]:
    """Nodes with weights that a layer table does not know: transposed and 1-d convolutions, products of activations."""
    return tuple(node.name for node in traced.graph.nodes if _is_uncounted(traced, node))


def _is_uncounted(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        return isinstance(module, _UNCOUNTED_MODULES) and not _is_self_attention(traced, node)
    return node.op == "call_function" and node.target in _UNCOUNTED_CALLS and _weight_of_call(node) is None
