"""The dependency graph of a network, read from torch-pruning: which channels have to leave together."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
import torch_pruning
from torch import Tensor, fx, nn
from torch_pruning.pruner import function

from sanp.pruning.groups import Group, Groups, Member, Side
from sanp.pruning.layer_width import is_depthwise, width_of
from sanp.tracing.trace import trace
from sanp_targets.errors import ConfigError

OUTPUT = "its channels are the network's output"  # why the last layer is untreated

# One channel of one side of a layer.
Channel = tuple[str, Side, int]


def dependencies(network: nn.Module, example_input: Tensor) -> Groups:
    """The groups of a network as the library sees them; `sanp.pruning.check.channel_groups` checks them as well.

    A group that holds a layer of a kind that we cannot narrow, or the channels of the network's output, is left out and
    its convolutions are in `untreated`. Raises ConfigError for a network that cannot be traced.
    """
    traced = trace(network, example_input)
    twin = copy.deepcopy(network).cpu().requires_grad_(True)
    example = example_input.detach().cpu().clone()
    graph = torch_pruning.DependencyGraph()
    try:
        with torch.enable_grad():
            graph.build_dependency(twin, example_inputs=example, verbose=False)
    except Exception as error:  # the library raises whatever its tracing meets
        raise ConfigError(
            f"the channels of {type(network).__name__} cannot be followed ({str(error).splitlines()[:1]}), expected "
            "convolutions, linear layers, batch norms and operations between them; choose a method with gates"
        ) from error
    names = {module: name for name, module in twin.named_modules()}
    order = _execution_order(traced)
    pairs, refused, output = _Sets(), {}, _writers_of_output(traced)
    convs = [name for name in order if isinstance(network.get_submodule(name), nn.Conv2d)]
    for name in convs:
        module = twin.get_submodule(name)
        assert isinstance(module, nn.Conv2d)
        if is_depthwise(module) or all((name, "outputs", index) in pairs for index in range(module.out_channels)):
            continue
        for channel, others, strange in _follow(graph, module, names):
            for other in others:
                pairs.join((name, "outputs", channel), other)
            if strange is not None:
                refused[name] = strange
    return _grouped(network, order, pairs, refused, output)


def _follow(
    graph: torch_pruning.DependencyGraph, module: nn.Conv2d, names: dict[nn.Module, str]
) -> Iterator[tuple[int, list[Channel], str | None]]:
    """For each output channel of a convolution: the channels that leave with it, and why it cannot leave, if so."""
    whole = list(range(module.out_channels))
    group = graph.get_pruning_group(module, function.prune_conv_out_channels, whole)
    found: dict[int, list[Channel]] = {index: [] for index in whole}
    strange: dict[int, str] = {}
    for item in group.items:
        target = item.dep.target.module
        width = width_of(target) if isinstance(target, nn.Module) else None
        for channel, root in zip(item.idxs, item.root_idxs):
            if width is not None and target in names:
                side: Side = "outputs" if graph.is_out_channel_pruning_fn(item.dep.handler) else "inputs"
                found[root].append((names[target], side, int(channel)))
            elif isinstance(target, nn.Parameter) or (target in names and next(target.parameters(), None) is not None):
                strange[root] = f"a {type(target).__name__} has its channels too"
    for index in whole:
        yield index, found[index], strange.get(index)


class _Sets:
    """Channels joined into sets (union-find)."""

    def __init__(self) -> None:
        self.parent: dict[Channel, Channel] = {}

    def __contains__(self, item: Channel) -> bool:
        return item in self.parent

    def find(self, item: Channel) -> Channel:
        """The representative of an item's set."""
        self.parent.setdefault(item, item)
        while self.parent[item] != item:
            self.parent[item] = item = self.parent[self.parent[item]]
        return item

    def join(self, first: Channel, second: Channel) -> None:
        """Make one set of two."""
        self.parent[self.find(second)] = self.find(first)


def _grouped(network: nn.Module, order: list[str], pairs: _Sets, refused: dict[str, str], output: set[str]) -> Groups:
    """Units of the same sides of the same layers become one group."""
    units: dict[Channel, list[Channel]] = {}
    for channel in pairs.parent:
        units.setdefault(pairs.find(channel), []).append(channel)
    kinds: dict[frozenset[tuple[str, Side]], list[list[Channel]]] = {}
    for unit in units.values():
        kinds.setdefault(frozenset((layer, side) for layer, side, _ in unit), []).append(unit)
    rows: dict[str, Group] = {}
    untreated: dict[str, str] = {}
    rank = {name: index for index, name in enumerate(order)}
    for sides, found in kinds.items():
        writers = sorted((layer for layer, side in sides if side == "outputs"), key=lambda layer: rank.get(layer, -1))
        convs = [
            layer
            for layer in writers
            if isinstance(module := network.get_submodule(layer), nn.Conv2d) and not is_depthwise(module)
        ]
        why = _reason(network, sides, refused, output)
        if why is not None:
            untreated.update(dict.fromkeys(convs, why))
        elif convs:
            row = _group(convs, found, width_of(network.get_submodule(convs[0])))
            if row is None:
                untreated.update(dict.fromkeys(convs, "its channels cannot be told apart"))
            else:
                rows[row.name] = row
    return Groups(dict(sorted(rows.items(), key=lambda item: rank[item[1].layers[0]])), untreated)


def _reason(
    network: nn.Module, sides: frozenset[tuple[str, Side]], refused: dict[str, str], output: set[str]
) -> str | None:
    for layer, side in sorted(sides):
        module = network.get_submodule(layer)
        if side == "outputs" and layer in output:
            return OUTPUT
        if side == "outputs" and layer in refused:
            return refused[layer]
        if isinstance(module, nn.Conv2d) and module.groups > 1 and not is_depthwise(module):
            return f"layer {layer} is a convolution in {module.groups} groups"
    return None


def _group(convs: list[str], found: list[list[Channel]], width: tuple[int, int] | None) -> Group | None:
    """Units in the order of the first convolution's filters; None if units have several or unequally many channels."""
    first = convs[0]
    found = sorted(
        found, key=lambda unit: min(index for layer, side, index in unit if (layer, side) == (first, "outputs"))
    )
    table: dict[tuple[str, Side], list[tuple[int, int]]] = {}
    for number, unit in enumerate(found):
        for layer, side, index in unit:
            table.setdefault((layer, side), []).append((number, index))
    members = []
    for (layer, side), rows in table.items():
        rows.sort(key=lambda row: row[1])
        member = Member(layer, side, *(torch.tensor(column) for column in zip(*rows)))
        per_unit = member.units.bincount(minlength=len(found))
        if int(per_unit.min()) != int(per_unit.max()) or (
            layer in convs and side == "outputs" and int(per_unit[0]) != 1
        ):
            return None
        members.append(member)
    # Parts of one convolution can be added to different layers: then it is in several groups.
    name = first if (width and len(found) == width[1]) or len(convs) == 1 else f"{first} with {convs[1]}"
    return Group(name, len(found), tuple(members), tuple(convs))


def _execution_order(traced: fx.GraphModule) -> list[str]:
    """Module paths in the order of their first call."""
    names = (str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    return list(dict.fromkeys(names))


def _writers_of_output(traced: fx.GraphModule) -> set[str]:
    """Convolutions and linear layers between which and the output there is no other one."""
    found, seen = set(), set()
    pending = [node for node in traced.graph.nodes if node.op == "output"]
    while pending:
        node = pending.pop()
        for source in node.all_input_nodes:
            if source in seen:
                continue
            seen.add(source)
            module = traced.get_submodule(str(source.target)) if source.op == "call_module" else None
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                found.add(str(source.target))
            else:
                pending.append(source)
    return found
