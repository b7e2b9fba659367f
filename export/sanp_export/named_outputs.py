"""The outputs of a PyTorch network by name, whatever structure its forward pass returns them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from sanp_runtime.contract import LOGITS
from sanp_runtime.network.outputs import Output, is_reserved
from sanp_targets.errors import ExportError

_ALONE = "output"  # one tensor that is no matrix


def named_outputs(value: Any) -> dict[str, Tensor]:
    """What a network returned, as tensors by name.

    One tensor is `logits` if it is a matrix, else `output`. Keys of dictionaries and fields of named tuples and data
    classes are names; what a plain tuple or list holds is `output0`, `output1`, ...; inner structures are joined by a
    dot, as in `heads.0`. None is left out. Raises ExportError for anything else, and for a name that is taken.
    """
    if isinstance(value, Tensor):
        return {LOGITS if value.dim() == 2 else _ALONE: value}
    found: dict[str, Tensor] = {}
    for path, item in _leaves(value, ()):
        if item is None:
            continue
        name = _name(path)
        if not isinstance(item, Tensor):
            raise ExportError(
                f"the output {name or type(value).__name__} of the network is a {type(item).__name__}, expected "
                "tensors in a dictionary, tuple, list or data class; wrap the network so that it returns tensors alone"
            )
        if name in found or is_reserved(name):
            raise ExportError(
                f"the network has an output called {name!r}, which "
                f"{'two outputs have' if name in found else 'is taken'}"
                ", expected another name; wrap the network and rename it"
            )
        found[name] = item
    if not found:
        raise ExportError(
            f"the network returns {type(value).__name__} without a tensor in it, expected at least one; wrap the "
            "network"
        )
    return found


def check_outputs(outputs: Mapping[str, Tensor], samples: int, network: str) -> tuple[Output, ...]:
    """The outputs of a batch of so many samples; ExportError for one that is not float32 [N, ...].

    network: its name, for the message.
    """
    for name, value in outputs.items():
        shape = tuple(value.shape)
        if value.dtype != torch.float32:
            raise ExportError(
                f"the output {name} of {network} is {str(value.dtype).removeprefix('torch.')}, expected float32; "
                "return scores, and decide outside of the network"
            )
        if not shape or shape[0] != samples or 0 in shape:
            raise ExportError(
                f"the output {name} of {network} has shape {shape} for {samples} samples, expected ({samples}, ...), a "
                "row for each sample; wrap the network so that the first axis is the batch, and what does not depend "
                "on the image stays outside"
            )
    return tuple(Output(name, tuple(value.shape[1:])) for name, value in outputs.items())


def as_tuple(forward: Callable[[Tensor], Any]) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A forward pass that returns its outputs as one tuple of tensors, in the order of `named_outputs`.

    An output that is returned twice, or that is the input itself, becomes a copy: a graph has a name for each.
    """

    def named(x: Tensor) -> tuple[Tensor, ...]:
        seen = [x]
        for value in named_outputs(forward(x)).values():
            known = any(value is other for other in seen)
            seen.append(value.clone() if known else value)
        return tuple(seen[1:])

    return named


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and leaves. A dictionary comes first: data classes of some libraries are dictionaries too."""
    if isinstance(value, Mapping):
        rows = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        rows = list(zip(value._fields, value))
    elif isinstance(value, (tuple, list)):
        rows = [(str(index), item) for index, item in enumerate(value)]
    elif is_dataclass(value) and not isinstance(value, type):
        rows = [(field.name, getattr(value, field.name)) for field in fields(value)]
    else:
        yield path, value
        return
    for key, item in rows:
        yield from _leaves(item, (*path, key))


def _name(path: tuple[str, ...]) -> str:
    """The path as a name; a number alone gets a word, because names of tensors are not numbers."""
    name = ".".join(path)
    return _ALONE + name if name[:1].isdigit() else name
