"""A torch.fx tracer that knows the shapes of an example, for networks whose control flow asks for them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import Tensor, fx, nn


class _Proxy(fx.Proxy):
    """A tensor in the trace that answers questions about its shape, type and place."""

    def _value(self) -> Any:
        tracer = self.tracer
        assert isinstance(tracer, ShapeTracer)
        return tracer.values.get(self.node)

    @property
    def shape(self) -> Any:
        """torch.Size, or a proxy where the value is no tensor."""
        value = self._value()
        return value.shape if isinstance(value, Tensor) else fx.proxy.Attribute(self, "shape")

    @property
    def ndim(self) -> Any:
        """Number of axes, or a proxy where the value is no tensor."""
        value = self._value()
        return value.ndim if isinstance(value, Tensor) else fx.proxy.Attribute(self, "ndim")

    @property
    def dtype(self) -> Any:
        """Type of the elements, or a proxy where the value is no tensor."""
        value = self._value()
        return value.dtype if isinstance(value, Tensor) else fx.proxy.Attribute(self, "dtype")

    @property
    def device(self) -> Any:
        """Where the tensor is, or a proxy where the value is no tensor."""
        value = self._value()
        return value.device if isinstance(value, Tensor) else fx.proxy.Attribute(self, "device")

    def size(self, *args: Any) -> Any:
        """As of the tensor."""
        return self._value().size(*args)

    def dim(self) -> int:
        """As of the tensor."""
        return int(self._value().dim())

    def __len__(self) -> int:
        value = self._value()
        if isinstance(value, (Tensor, tuple, list)):
            return len(value)
        raise TypeError(f"a {type(value).__name__} in the network has no length")


class ShapeTracer(fx.Tracer):
    """Runs the example along with the trace; the graph holds the numbers that the network asked for.

    is_leaf: which modules are not looked into, beside those of torch. Trace in evaluation mode and without gradients.
    """

    def __init__(self, example: Tensor, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.values: dict[fx.Node, Any] = {}
        self._example, self._is_leaf, self._computing = example, is_leaf, False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Modules of torch, and those that `is_leaf` names."""
        return self._is_leaf(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """One that knows its shape."""
        return _Proxy(node, self)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace a call, or run it inside a leaf."""
        if self._computing:  # inside a leaf that is being run, not traced
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A parameter as a proxy, or itself inside a leaf."""
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The parts of a tensor that was split: as many as the example has."""
        value, parts = self.values.get(obj.node), cast(Any, obj)
        if not isinstance(value, (tuple, list)):
            return super().iter(obj)
        return iter([parts[index] for index in range(len(value))])

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """The node, and its value for the example."""
        node = super().create_node(*args, **kwargs)
        if node.op != "output":
            self.values[node] = self._computed(node)
        return node

    def _computed(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._example
        args = fx.node.map_arg(node.args, self.values.__getitem__)
        kwargs = fx.node.map_arg(node.kwargs, self.values.__getitem__)
        assert isinstance(args, tuple) and isinstance(kwargs, dict)
        before, self._computing = self._computing, True
        try:
            if node.op == "get_attr":
                return operator.attrgetter(str(node.target))(self.root)
            if node.op == "call_module":
                return self.root.get_submodule(str(node.target)).forward(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            assert callable(node.target)
            return node.target(*args, **kwargs)
        finally:
            self._computing = before
