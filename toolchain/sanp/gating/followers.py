"""Which depthwise convolutions can share the decision of the layers that feed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn

from sanp.gating.norms import divided
from sanp.tracing.support_rules import supports
from sanp.tracing.trace import evaluation, first_input
from sanp_runtime.network.support import Concat, Dense, Gate, Support, gates_of


def find_followers(traced: fx.GraphModule, pairs: Mapping[str, str]) -> dict[str, Support]:
    """Convolution -> the gates that decide for it, of a network that will get a gate behind every norm of `pairs`.

    pairs: convolution -> its batch norm, module paths, "" for one without. A depthwise convolution follows where each
    of its channels comes from one gate, or from none: whatever is between keeps zeros there (ReLU6, hard swish, squeeze
    and excite), and concatenations are looked through. An addition leaves a channel open if any operand does, which is
    nearly always, so a layer behind one decides for itself; so does one of which no channel comes from a gate.
    """
    convs = {norm or conv: conv for conv, norm in pairs.items()}  # behind which module the gate is
    inputs = {
        str(node.target): first_input(node)
        for node in traced.graph.nodes
        if node.op == "call_module" and str(node.target) in pairs
    }
    found: dict[str, Support] = {}

    def gate_of(node: fx.Node, before: Callable[[Any], Support]) -> Support | None:
        name = convs.get(str(node.target)) if node.op == "call_module" else None
        if name is None or name not in inputs:
            return None
        if not _leaves_zeros(traced.get_submodule(str(node.target))):
            return None
        conv, support = traced.get_submodule(name), before(inputs[name])
        if _is_depthwise(conv) and _one_gate_each(support):
            found[name] = support
            return support
        return Gate(name)

    supports(traced, gate_of)
    return found


def _leaves_zeros(module: nn.Module) -> bool:
    """Whether a closed channel is zero behind a norm: one with an activation inside may make another value of it."""
    parts = divided(module) if isinstance(module, nn.BatchNorm2d) else None
    if parts is None or isinstance(parts[1], nn.Identity):
        return True
    with evaluation(parts[1]):
        return not parts[1](torch.zeros(1, parts[0].num_features, 1, 1)).any()


def _is_depthwise(conv: nn.Module) -> bool:
    return isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels == conv.out_channels


def _one_gate_each(support: Support) -> bool:
    """Whether no channel depends on two gates, and some channel on one."""
    parts = support.parts if isinstance(support, Concat) else (support,)
    return bool(gates_of(support)) and all(isinstance(part, (Gate, Dense)) for part in parts)
