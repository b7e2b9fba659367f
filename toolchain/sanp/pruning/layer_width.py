"""Layers whose channels can be counted and changed: convolutions, linear layers and batch norms."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Tensor -> its axes of output and of input channels.
Axes = dict[str, tuple[int, int | None]]
_VECTORS = ("weight", "bias", "running_mean", "running_var")


def width_of(module: nn.Module) -> tuple[int, int] | None:
    """Input and output channels of a layer, equal for a batch norm; None for a module of another kind."""
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, _BatchNorm):
        return module.num_features, module.num_features
    return None


def is_depthwise(module: nn.Module) -> bool:
    """Whether each output channel reads one input channel of its own."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels == module.out_channels


def axes_of(module: nn.Module) -> Axes:
    """Channel axes of every tensor of a layer that has them."""
    if isinstance(module, _BatchNorm) or is_depthwise(module):
        found: Axes = dict.fromkeys(_VECTORS, (0, None))
    else:
        found = {"weight": (0, 1), "bias": (0, None)}
    return {name: axes for name, axes in found.items() if getattr(module, name, None) is not None}


def set_width(module: nn.Module, c_in: int, c_out: int, tensors: Mapping[str, Tensor]) -> None:
    """Give a layer these tensors and the channel counts that belong to them, in place."""
    for name, value in tensors.items():
        old = getattr(module, name)
        if isinstance(old, nn.Parameter):
            setattr(module, name, nn.Parameter(value, requires_grad=old.requires_grad))
        else:
            setattr(module, name, value)
    if isinstance(module, nn.Conv2d):
        module.groups = c_in if is_depthwise(module) else module.groups
        module.in_channels, module.out_channels = c_in, c_out
    elif isinstance(module, nn.Linear):
        module.in_features, module.out_features = c_in, c_out
    elif isinstance(module, _BatchNorm):
        module.num_features = c_out
