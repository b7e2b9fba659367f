"""Where bytes are in a PyTorch network: what each convolution of bytes reads, adds and writes once it is compiled.

The exporter takes the addition and the activation that follow a convolution into it, and only then rounds. The rules
here are those of its passes `fuse_residuals`, `fuse_activations` and `always_open`; a test compares the tensors.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from sanp.gating.norms import divided
from sanp.tracing.gated_layer import GatedLayer
from sanp.tracing.trace import first_input, shape_of

_ADDITIONS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
_ACTIVATION_MODULES = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
_ACTIVATIONS: tuple[Any, ...] = (
    F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_", F.relu6, F.hardtanh, F.hardtanh_,
    torch.clamp, torch.clip, "clamp", "clamp_", "clip", "clip_",
)  # fmt: skip
_SAME_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)
_SAME: tuple[Any, ...] = (F.dropout, F.dropout2d, "contiguous")


@dataclass(eq=False)
class ByteConv:
    """A convolution as it will be compiled.

    name: of the layer. node: the call of the convolution. last: its norm, where that is a module of its own. written:
    what the compiled layer writes, behind the addition and the activation that it takes in. residual: what it adds.
    """

    name: str
    node: fx.Node
    last: fx.Node
    written: fx.Node
    residual: fx.Node | None = None
    addition: fx.Node | None = None

    @property
    def x(self) -> fx.Node:
        """What it reads."""
        found: fx.Node = first_input(self.node)
        return found


def byte_convs(traced: fx.GraphModule) -> list[ByteConv]:
    """The convolutions of a traced network that may become bytes, each behind what it reads and adds."""
    own, plain, depth = list(_gated(traced)), list(_plain(traced)), _depths(traced)
    for group in (own, plain):  # the exporter fuses gated layers first, for every bundle
        # Of two convolutions that are added the one with more before it takes the other in: it is ready last.
        order = {conv.node: at for at, conv in enumerate(group)}
        for conv in sorted(group, key=lambda conv: (depth[conv.node], order[conv.node]), reverse=True):
            _take_addition(traced, conv)
        for conv in group:
            _take_activations(traced, conv)
    place = {node: at for at, node in enumerate(traced.graph.nodes)}
    return sorted([*own, *plain], key=lambda conv: place[conv.addition or conv.node])


def source(traced: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The node that computes what this one hands on: dropouts and identities are not in an exported graph."""
    while _is_same(traced, node):
        node = first_input(node)
    return node


def pooled(traced: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """What a max pool reads, None for any other node."""
    pool = isinstance(_module(traced, node), nn.MaxPool2d) or _calls(node, (F.max_pool2d, torch.max_pool2d))
    return source(traced, first_input(node)) if pool else None


def _gated(traced: fx.GraphModule) -> Iterator[ByteConv]:
    for node in traced.graph.nodes:
        if isinstance(_module(traced, node), GatedLayer):
            yield ByteConv(str(node.target), node, node, node)


def _plain(traced: fx.GraphModule) -> Iterator[ByteConv]:
    """Convolutions without a gate, each with the batch norm that alone reads it."""
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    for node in traced.graph.nodes:
        module = _module(traced, node)
        if not isinstance(module, nn.Conv2d) or type(module).forward is not nn.Conv2d.forward:
            continue
        if calls[str(node.target)] != 1 or module.padding_mode != "zeros" or module.groups != 1:
            continue
        reader = _only_reader(traced, node)
        norm = None if reader is None else _module(traced, reader)
        last = node
        if isinstance(norm, nn.BatchNorm2d) and reader is not None:
            parts = divided(norm) if calls[str(reader.target)] == 1 and norm.running_mean is not None else None
            if parts is None or not isinstance(parts[1], nn.Identity):
                continue
            last = reader
        yield ByteConv(str(node.target), node, last, last)


def _depths(traced: fx.GraphModule) -> dict[fx.Node, int]:
    """Operations of the exported graph on the longest way to each node: a gated layer is a gate and a convolution."""
    found: dict[fx.Node, int] = {}
    for node in traced.graph.nodes:
        module = _module(traced, node)
        own = 2 if isinstance(module, GatedLayer) else int(not isinstance(module, nn.BatchNorm2d))
        own = 0 if _is_same(traced, node) else own
        found[node] = own + max((found[item] for item in node.all_input_nodes), default=0)
    return found


def _take_addition(traced: fx.GraphModule, conv: ByteConv) -> None:
    reader = _only_reader(traced, conv.written)
    if reader is None or not _calls(reader, _ADDITIONS) or len(reader.args) != 2 or reader.kwargs:
        return
    operands = [item for item in reader.args if isinstance(item, fx.Node)]
    if len(operands) != 2 or shape_of(operands[0]) != shape_of(operands[1]):
        return
    own = [source(traced, item) is conv.written for item in operands]
    if sum(own) == 1 and not _is_taken(traced, reader):
        conv.residual, conv.addition, conv.written = operands[own.index(False)], reader, reader
        reader.meta["taken"] = True


def _is_taken(traced: fx.GraphModule, addition: fx.Node) -> bool:
    """Whether a later convolution adds here already; the earlier one is its residual."""
    return bool(addition.meta.get("taken"))


def _take_activations(traced: fx.GraphModule, conv: ByteConv) -> None:
    while (reader := _only_reader(traced, conv.written)) is not None and _is_activation(traced, reader):
        conv.written = reader


def _is_activation(traced: fx.GraphModule, node: fx.Node) -> bool:
    if isinstance(_module(traced, node), _ACTIVATION_MODULES):
        return True
    bounds = [*node.args[1:], *node.kwargs.values()]
    return _calls(node, _ACTIVATIONS) and not any(isinstance(item, (fx.Node, torch.Tensor)) for item in bounds)


def _only_reader(traced: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The node that alone computes with this one, looking through dropouts and identities."""
    readers: list[fx.Node] = []
    pending = [node]
    while pending:
        for user in pending.pop().users:
            if _is_same(traced, user):
                pending.append(user)
            elif not (_calls(user, (getattr, "size", "dim")) and shape_of(user) is None):
                readers.append(user)
    if len(readers) != 1 or readers[0].op == "output":
        return None
    return readers[0]


def _is_same(traced: fx.GraphModule, node: fx.Node) -> bool:
    return isinstance(_module(traced, node), _SAME_MODULES) or _calls(node, _SAME)


def _calls(node: fx.Node, targets: tuple[Any, ...]) -> bool:
    """Whether a node calls one of these functions or methods; a module may have the name of a method."""
    return node.op in ("call_function", "call_method") and node.target in targets


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None
