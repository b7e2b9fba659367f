"""A gated network that rounds as its int8 bundle will, to be trained so; and back to float32, with the ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from sanp.data.batch import Batch
from sanp.gating.forward import forward
from sanp.quantising.positions import ByteConv, byte_convs, pooled, source
from sanp.quantising.rounding import FollowedRange, rounded_conv
from sanp.tracing.gated_layer import GatedLayer
from sanp.tracing.layer_table import layer_table
from sanp.tracing.trace import evaluation, trace
from sanp_export.graph.byte_layers import unsuited
from sanp_targets.errors import ConfigError

# The submodule that holds the ranges: in a state file, its name says that the network rounds.
RANGES = "int8_ranges"

# Layer -> "x", "y" and, where it adds one, "residual" -> smallest and largest value.
Ranges = dict[str, dict[str, list[float]]]


class _Forward:
    """Calls the graph with the rounding in it. No module, because its modules are those of the network itself."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self._graph = graph

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._graph.forward(*args, **kwargs)


class FollowedRanges(nn.Module):
    """The ranges of a network. roles: layer -> "x", "y", "residual" -> position among them."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges, self.convs = nn.ModuleList(), nn.ModuleList()
        self.roles: dict[str, dict[str, int]] = {}

    def limits(self) -> Ranges:
        """All of them as numbers."""
        numbers = [item.limits() for item in self.ranges if isinstance(item, FollowedRange)]
        return {layer: {role: list(numbers[at]) for role, at in row.items()} for layer, row in self.roles.items()}


def fake_quantise(network: nn.Module, example_input: Tensor) -> None:
    """Let a gated network round, from now on, what its int8 bundle rounds: `RANGES` is added to its modules.

    Batch norms behind convolutions are folded into them with the statistics that they have now. Layers that stay
    float32 in every bundle do not round. Whoever traces the network still sees the one without rounding: the graph with
    it takes the place of `forward` in this object, not in its class. Raises ConfigError for a network without channel
    gates, and for one whose graph holds the number of samples.
    """
    if not any(isinstance(module, GatedLayer) for module in network.modules()):
        raise ConfigError(
            f"{type(network).__name__} has no channel gates, expected gated convolutions: --int8 trains for bundles of "
            "`sanp compile --int8`, which gated networks have; leave it out"
        )
    traced = trace(network, example_input)
    _check_batch(network, traced, example_input)
    without = unsuited(layer_table(traced))
    convs = [conv for conv in byte_convs(traced) if conv.name not in without]
    ranges = FollowedRanges()
    for module in (network, traced):
        module.add_module(RANGES, ranges)
    _Insertion(traced, ranges).insert(convs)
    ranges.to(example_input.device)
    traced.recompile()
    network.__dict__["forward"] = _Forward(traced)


def _check_batch(network: nn.Module, traced: fx.GraphModule, example_input: Tensor) -> None:
    """ConfigError if the graph answers to more samples than the example has with other shapes than the network.

    Where control flow asks for shapes, the trace holds the numbers of the example.
    """
    more = torch.cat([example_input] * 3)
    with evaluation(network):
        expected = _shapes(network(more))
        try:
            found, reason = _shapes(traced(more)), "other shapes"
        except Exception as error:  # whatever an operator says of the wrong number
            found, reason = None, (str(error).splitlines() or [type(error).__name__])[0][:200]
    if found != expected:
        raise ConfigError(
            f"{type(network).__name__} is traced with the number of samples in it ({reason}), expected a graph for any "
            "number to train with --int8: take shapes from flatten(1) or -1 in place of x.shape[0], or move the branch "
            "that depends on a shape into the constructor"
        )


def _shapes(outputs: Any) -> list[torch.Size]:
    return [item.shape for item in tree_leaves(outputs) if isinstance(item, Tensor)]


def rounds(network: nn.Module) -> bool:
    """Whether `fake_quantise` has been here."""
    return isinstance(getattr(network, RANGES, None), FollowedRanges)


def has_ranges(names: Iterable[str]) -> bool:
    """Whether the tensors with these names are those of a network that rounds."""
    return any(name.startswith(f"{RANGES}.") for name in names)


def as_float32(network: nn.Module) -> Ranges:
    """Undo `fake_quantise`; what the network has learned stays, and the ranges are returned."""
    found: FollowedRanges = getattr(network, RANGES)
    del network.__dict__["forward"]
    network.__delattr__(RANGES)
    for module in network.modules():
        if isinstance(module, GatedLayer):
            module.rounding = None
    return found.limits()


def measure_ranges(network: nn.Module, batches: Iterable[Batch]) -> list[Tensor]:
    """Set every range to all that the batches reach in evaluation mode, without rounding; the ranges, to be shared."""
    ranges = [module for module in network.modules() if isinstance(module, FollowedRange)]
    with evaluation(network), _widening(ranges):
        for batch in batches:
            forward(network, batch)
    return [tensor for item in ranges for tensor in (item.low, item.high)]


@contextmanager
def _widening(ranges: Iterable[FollowedRange]) -> Iterator[None]:
    for item in ranges:
        item.widens = True
    try:
        yield
    finally:
        for item in ranges:
            item.widens = False


class _PlainConv(nn.Module):
    """A convolution without a gate, with its norm folded in; both stay modules of the network where they are."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self._parts = (conv, norm)  # in a tuple, so that they are not modules of this one too

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        conv, norm = self._parts
        assert isinstance(conv, nn.Conv2d)
        return rounded_conv(conv, norm, x)


class _Insertion:
    """Puts ranges into a traced graph: what is rounded is decided on the whole graph, before anything changes."""

    def __init__(self, traced: fx.GraphModule, ranges: FollowedRanges) -> None:
        self._traced, self.found = traced, ranges
        self._at: dict[fx.Node, int] = {}  # node that computes a tensor of bytes -> its range
        self._ready: set[fx.Node] = set()  # those of these nodes behind which a tensor is bytes already
        self._reads: list[tuple[fx.Node, fx.Node]] = []  # (reader, what it reads), to be rounded in between
        self._now: dict[fx.Node, fx.Node] = {}  # node -> what has taken its place

    def insert(self, convs: list[ByteConv]) -> None:
        """Round what these convolutions read, add and write, and their weights."""
        for conv in convs:
            roles = {"x": self._read(conv.node, conv.x)}
            if conv.residual is not None and conv.addition is not None:
                roles["residual"] = self._read(conv.addition, conv.residual)
            roles["y"] = self._at[conv.written] = self._new()
            self._ready.add(conv.written)
            self.found.roles[conv.name] = roles
        for conv in convs:
            self._round_weights(conv)
        for conv in convs:
            self._round_behind(self._now.get(conv.written, conv.written), self._at[conv.written])
        between: dict[fx.Node, fx.Node] = {}
        for reader, node in self._reads:
            self._round_between(self._now.get(reader, reader), self._now.get(node, node), self._at_of(node), between)
        self._traced.graph.lint()

    def _new(self) -> int:
        self.found.ranges.append(FollowedRange())
        return len(self.found.ranges) - 1

    def _at_of(self, node: fx.Node) -> int:
        return self._at[source(self._traced, node)]

    def _read(self, reader: fx.Node, node: fx.Node) -> int:
        origin = source(self._traced, node)
        before = pooled(self._traced, origin)
        if origin not in self._at and before is not None and before in self._ready:
            self._at[origin] = self._at[before]  # the pool moves bytes
            self._ready.add(origin)
        if origin not in self._at:
            self._at[origin] = self._new()
        if origin not in self._ready:
            self._reads.append((reader, node))
        return self._at[origin]

    def _round_weights(self, conv: ByteConv) -> None:
        module = self._traced.get_submodule(conv.name)
        if isinstance(module, GatedLayer):
            module.rounding = rounded_conv
            return
        norm = nn.Identity() if conv.last is conv.node else self._traced.get_submodule(str(conv.last.target))
        graph, at = self._traced.graph, len(self.found.convs)
        self.found.convs.append(_PlainConv(module, norm))
        with graph.inserting_after(conv.last):
            made = graph.call_module(f"{RANGES}.convs.{at}", (conv.x,))
        conv.last.replace_all_uses_with(made)
        for node in dict.fromkeys((conv.last, conv.node)):
            graph.erase_node(node)
            self._now[node] = made

    def _round_behind(self, node: fx.Node, at: int) -> None:
        with self._traced.graph.inserting_after(node):
            made = self._traced.graph.call_module(f"{RANGES}.ranges.{at}", (node,))
        node.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)

    def _round_between(self, reader: fx.Node, node: fx.Node, at: int, between: dict[fx.Node, fx.Node]) -> None:
        if node not in between:
            with self._traced.graph.inserting_after(node):
                between[node] = self._traced.graph.call_module(f"{RANGES}.ranges.{at}", (node,))
        reader.replace_input_with(node, between[node])
