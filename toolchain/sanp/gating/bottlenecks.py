"""Which convolutions are linear bottlenecks: the narrow, unactivated ends of inverted residual blocks."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch import fx, nn

from sanp.gating.norms import divided

_SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
_PASSED = (nn.Identity, nn.Dropout, nn.Dropout2d)


def linear_bottlenecks(traced: fx.GraphModule, pairs: Mapping[str, str]) -> list[str]:
    """The convolutions of `pairs` with fewer outputs than inputs and no activation behind (arXiv 1801.04381, 3.2).

    pairs: convolution -> its batch norm, module paths, "" for one without. Their output reaches other convolutions
    directly or through residual sums, so it is the whole memory of the network from block to block.
    """
    ends = {norm or conv: conv for conv, norm in pairs.items()}
    found = []
    for node in traced.graph.nodes:
        name = ends.get(str(node.target)) if node.op == "call_module" else None
        if name is None:
            continue
        conv, end = traced.get_submodule(name), traced.get_submodule(str(node.target))
        assert isinstance(conv, nn.Conv2d)
        if (
            conv.groups == 1
            and conv.out_channels < conv.in_channels
            and _is_linear(end)
            and _is_unactivated(traced, node)
        ):
            found.append(name)
    return found


def _is_linear(end: nn.Module) -> bool:
    parts = divided(end) if isinstance(end, nn.BatchNorm2d) else None
    return parts is None or isinstance(parts[1], nn.Identity)


def _is_unactivated(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether everything that reads a value, through sums, is a convolution, and something does."""

    def passes(user: fx.Node) -> bool:
        if user.op == "call_module":
            module = traced.get_submodule(str(user.target))
            return isinstance(module, nn.Conv2d) or (isinstance(module, _PASSED) and _is_unactivated(traced, user))
        return user.target in _SUMS and _is_unactivated(traced, user)

    return bool(node.users) and all(passes(user) for user in node.users)
