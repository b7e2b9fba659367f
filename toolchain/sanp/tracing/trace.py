"""torch.fx graphs with shapes: the one way this package looks inside a network."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from sanp.tracing.gated_layer import GatedLayer, PixelGatedLayer
from sanp.tracing.shape_tracer import ShapeTracer
from sanp_targets.errors import ConfigError

# What `operator` has of them has no underscore at the end.
_IN_PLACE: tuple[Any, ...] = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


class _Tracer(fx.Tracer):
    """Gated layers are leaves, and so is every kind of batch norm: their inside is not part of the network's wiring."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(m) or super().is_leaf_module(m, module_qualified_name)


def _is_leaf(module: nn.Module) -> bool:
    return isinstance(module, (GatedLayer, PixelGatedLayer, nn.BatchNorm2d))


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; restores each submodule's own mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def trace(model: nn.Module, example_input: Tensor) -> fx.GraphModule:
    """The network's graph in evaluation mode, every node with its output shape; weights are shared with `model`.

    Raises ConfigError with the reason if the forward pass depends on data or does not accept the example.
    """
    name = type(model).__name__
    with evaluation(model):
        try:
            graph = _graph(model, example_input)
        except Exception as error:
            raise ConfigError(
                f"{name} cannot be traced by torch.fx ({_first_line(error)}), expected a forward pass whose control "
                "flow does not depend on the data; rewrite that branch or wrap it in a module that fx treats as a leaf"
            ) from error
        try:
            module = fx.GraphModule(model, graph)
        except SyntaxError as error:
            raise ConfigError(
                f"{name} has a module whose name torch.fx cannot write as code ({_first_line(error)}), expected names "
                "without quotes and line ends; rename the module"
            ) from error
        module.eval()
        _remove_dead_code(module)
        try:
            ShapeProp(module).propagate(example_input)
        except Exception as error:
            raise ConfigError(
                f"{name} does not accept the example input {tuple(example_input.shape)} ({_first_line(error)}); "
                "pass an input of the shape and type that the network is used with"
            ) from error
    return module


def _graph(model: nn.Module, example_input: Tensor) -> fx.Graph:
    """The plain trace, or one with the numbers of the example in it where control flow depends on shapes."""
    try:
        return _Tracer().trace(model)
    except Exception:
        try:
            return ShapeTracer(example_input, _is_leaf).trace(model)
        except Exception:  # the first error says what is wrong with the network
            pass
        raise


def _remove_dead_code(module: fx.GraphModule) -> None:
    """Take out what no output of the network reads, as an export does: a layer there costs nothing in the file.

    What writes into its operand stays: somebody else may read that.
    """
    modules = dict(module.named_modules(remove_duplicate=False))

    def writes(node: fx.Node) -> bool:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        in_place = _argument(node, "inplace") or name.endswith("_") or node.target in _IN_PLACE
        if node.op == "call_module":
            in_place = getattr(modules.get(str(node.target)), "inplace", False)
        return bool(in_place or name == "setitem" or "out" in node.kwargs or node.is_impure())

    if module.graph.eliminate_dead_code(writes):
        module.recompile()


def _argument(node: fx.Node, name: str) -> Any:
    """An argument of a call of a Python function, by name or by position; None if it is not given."""
    names = list(getattr(getattr(node.target, "__code__", None), "co_varnames", ()))
    at = names.index(name) if name in names else len(node.args)
    return node.args[at] if at < len(node.args) else node.kwargs.get(name)


def shape_of(node: Any) -> tuple[int, ...] | None:
    """Output shape of a node if it is one tensor, else None (also for the node's non-node arguments)."""
    meta = node.meta.get("tensor_meta") if isinstance(node, fx.Node) else None
    return tuple(meta.shape) if isinstance(meta, TensorMetadata) else None


def first_input(node: fx.Node) -> Any:
    """The tensor that a node works on, passed by position or as `input=`."""
    return node.args[0] if node.args else node.kwargs.get("input")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
