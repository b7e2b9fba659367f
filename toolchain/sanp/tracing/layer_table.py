"""The table of layers of a traced network: what each computes, and which channels reach it."""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn import functional as F

from sanp.tracing.gated_layer import GatedLayer
from sanp.tracing.support_rules import supports
from sanp.tracing.trace import first_input, shape_of
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Support


def layer_table(traced: fx.GraphModule) -> tuple[Layer, ...]:
    """Rows for every convolution and linear layer of a traced network, in execution order.

    A head is an ungated layer on a 1x1 map after the last gated one.
    """
    support = supports(traced)
    rows: list[Layer] = []
    for node in traced.graph.nodes:
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not isinstance(module, (GatedLayer, nn.Conv2d, nn.Linear)):
            continue
        shape = shape_of(node)
        assert shape is not None
        source = first_input(node)
        if isinstance(module, nn.Linear) and len(shape) != 2:
            reads: Support = Dense(module.in_features)  # features are not on the channel axis
        else:
            reads = support[source]
        rows.append(_row(str(node.target), module, shape, reads))
    last_gated = max((index for index, row in enumerate(rows) if row.gated), default=-1)
    return tuple(
        Layer(**{**row.__dict__, "head": index > last_gated and row.out_hw == (1, 1)}) for index, row in enumerate(rows)
    )


def _row(name: str, module: nn.Module, shape: tuple[int, ...], support: Support) -> Layer:
    if isinstance(module, nn.Linear):
        positions = 1
        for size in shape[1:-1]:
            positions *= size
        return Layer(name, module.in_features, module.out_features, (positions, 1), support=support)
    gated = isinstance(module, GatedLayer)
    conv = module.conv if isinstance(module, GatedLayer) else module
    assert isinstance(conv, nn.Conv2d)
    return Layer(
        name,
        conv.in_channels,
        conv.out_channels,
        (shape[2], shape[3]),
        kernel=(conv.kernel_size[0], conv.kernel_size[1]),
        groups=conv.groups,
        gated=gated,
        gate_hidden=module.gate_hidden if isinstance(module, GatedLayer) else 0,
        support=support,
    )


_UNCOUNTED_MODULES = (nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase)
_UNCOUNTED_CALLS = (F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.linear, torch.matmul, torch.bmm, torch.einsum)


def uncounted(traced: fx.GraphModule) -> tuple[str, ...]:
    """Nodes with weights that a layer table does not know: transposed and 1-d convolutions, functional calls."""
    return tuple(node.name for node in traced.graph.nodes if _is_uncounted(traced, node))


def _is_uncounted(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _UNCOUNTED_MODULES)
    return node.op == "call_function" and node.target in _UNCOUNTED_CALLS
