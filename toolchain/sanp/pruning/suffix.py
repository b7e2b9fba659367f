"""A network that is run many times on the same images, each time with other weights in a few layers.

Only what lies behind those layers is computed again; the rest is remembered. With a change in every layer in turn, that
is about half of the work, and the results are the same bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from sanp.data.batch import tensors
from sanp.tracing.trace import shape_of, trace

_FIRST = 8  # images on which the graph is compared with the network
_MEMORY = 2**29  # bytes of remembered values
_INPLACE_CALLS = (operator.iadd, operator.imul, operator.isub, operator.itruediv)


class Suffix:
    """Runs a network in evaluation mode from the layers on that have changed.

    images_at_once: how many images `remember` should be given, so that their values fit into half a gigabyte.
    """

    def __init__(self, network: nn.Module, example_input: Tensor) -> None:
        self.network = network
        self.traced = trace(network, example_input)
        self.nodes = list(self.traced.graph.nodes)
        self._kept = {node for node in self.nodes if self._is_kept(node)}
        sizes = [shape_of(node) or () for node in self._kept]
        self.images_at_once = max(
            1, _MEMORY // (4 * max(1, sum(torch.Size(size[1:]).numel() for size in sizes if size)))
        )
        self._behind: dict[frozenset[str], list[fx.Node]] = {}
        self._values: dict[fx.Node, Any] = {}
        self._images = example_input
        self._whole = False  # whether the graph does not compute what the network does: values changed behind its back

    def remember(self, images: Tensor) -> Any:
        """Run the network on these images, [N, C, H, W], and keep what later runs need; its outputs."""
        self._images = images
        self._values = {}
        if not self._whole:
            outputs = self._run(self.nodes, keep=True)
            if _agree(outputs, self.network(images[:_FIRST])):
                return outputs
            self._whole, self._values = True, {}
        return self.again(())

    def again(self, layers: Iterable[str]) -> Any:
        """Outputs for the remembered images with the present weights of these layers; the others have not changed."""
        if self._whole:
            return self.network(self._images)
        key = frozenset(layers)
        if key not in self._behind:
            self._behind[key] = self._from(key)
        return self._run(self._behind[key], keep=False)

    def _from(self, layers: frozenset[str]) -> list[fx.Node]:
        """The calls of these layers and everything behind them, in order."""
        changed: set[fx.Node] = set()
        for node in self.nodes:
            own = node.op == "call_module" and str(node.target) in layers
            if own or node.op == "output" or any(source in changed for source in node.all_input_nodes):
                changed.add(node)
        return [node for node in self.nodes if node in changed]

    def _is_kept(self, node: fx.Node) -> bool:
        """Whether a value can be needed that has not changed: by a layer, or beside one that has changed."""
        return node.op in ("placeholder", "get_attr") or any(
            user.op == "output" or len(user.all_input_nodes) > 1 or self._has_weights(user) for user in node.users
        )

    def _has_weights(self, node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(
            self.traced.get_submodule(str(node.target)), (nn.Conv2d, nn.Linear)
        )

    def _run(self, nodes: list[fx.Node], keep: bool) -> Any:
        fresh: dict[fx.Node, Any] = {}
        left = {node: sum(1 for user in node.users) for node in nodes}

        def value(node: fx.Node) -> Any:
            return fresh[node] if node in fresh else self._values[node]

        result: Any = None
        for node in nodes:
            result = fresh[node] = self._call(node, value)
            if keep and node in self._kept:
                self._values[node] = fresh[node]
            for source in node.all_input_nodes:  # let go of what nobody reads any more
                left[source] = left.get(source, 0) - 1
                if left[source] == 0:
                    fresh.pop(source, None)
        return result

    def _call(self, node: fx.Node, value: Callable[[fx.Node], Any]) -> Any:
        if node.op == "placeholder":
            return self._images
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.traced)
        args, kwargs = fx.map_arg(node.args, value), fx.map_arg(node.kwargs, value)
        if node.op == "output":
            return args[0]
        if self._is_inplace(node) and args and isinstance(args[0], Tensor):
            args = (args[0].clone(), *args[1:])  # a remembered value must not change
        if node.op == "call_module":
            return self.traced.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _is_inplace(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.traced.get_submodule(str(node.target)), "inplace", False))
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        return node.target in _INPLACE_CALLS or name.endswith("_") or bool(node.kwargs.get("inplace"))


def _agree(found: Any, expected: Any) -> bool:
    """Whether outputs for all images begin with the expected ones, up to rounding."""
    pairs = list(zip(tensors(found), tensors(expected)))
    return bool(pairs) and all(_close(one[: len(other)].detach(), other.detach()) for one, other in pairs)


def _close(one: Tensor, other: Tensor) -> bool:
    bound = 1e-3 * float(other.abs().max()) if other.numel() else 0.0
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=bound)
