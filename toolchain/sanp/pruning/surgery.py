"""Removal of channels: the layers get smaller, and the momentum of what stays goes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sanp.pruning.layer_width import axes_of, is_depthwise, set_width, width_of
from sanp_targets.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Keep:
    """Channels of a layer that stay, as int64 indices in ascending order; None = all.

    A batch norm and a depthwise convolution have the same inputs as outputs: `outputs` says both.
    """

    outputs: Tensor | None = None
    inputs: Tensor | None = None


def narrow(network: nn.Module, kept: Mapping[str, Keep], momentum: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove all other channels of the named layers, in place; returns the momentum of the parameters that are left.

    kept: module path -> what stays. Every layer that writes or reads a removed channel must be named: this function
    follows no connections. momentum: by parameter name; entries of other parameters are passed through.
    Raises ConfigError, before anything is changed, for a module that cannot be narrowed or indices that do not fit.
    """
    plans = {name: _checked(name, _layer(network, name), keep) for name, keep in kept.items()}
    left = dict(momentum)
    for name, keep in plans.items():
        module, tensors = network.get_submodule(name), {}
        for key, axes in axes_of(module).items():
            value = getattr(module, key)
            tensors[key] = _select(value.detach(), axes, keep)
            if (path := f"{name}.{key}") in left:
                left[path] = _select(left[path], axes, keep)
        width = width_of(module)
        assert width is not None
        c_in, c_out = (old if index is None else len(index) for old, index in zip(width, (keep.inputs, keep.outputs)))
        set_width(module, c_in, c_out, tensors)
    return left


def _layer(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(f"there is no layer {name} to narrow, expected a module path; check the name") from error


def _checked(name: str, module: nn.Module, keep: Keep) -> Keep:
    """The indices with those of both sides filled in where a layer has the same inputs as outputs."""
    width = width_of(module)
    if width is None:
        raise ConfigError(
            f"layer {name} is a {type(module).__name__}, expected a Conv2d, Linear or batch norm; name another layer"
        )
    same = is_depthwise(module) or isinstance(module, nn.modules.batchnorm._BatchNorm)
    if isinstance(module, nn.Conv2d) and module.groups > 1 and not is_depthwise(module):
        raise ConfigError(
            f"layer {name} is a convolution in {module.groups} groups, expected one group or a depthwise convolution; "
            "leave its channels as they are"
        )
    if same:
        keep = Keep(keep.outputs, keep.outputs)
    for side, index, count in (("inputs", keep.inputs, width[0]), ("outputs", keep.outputs, width[1])):
        if index is None:
            continue
        fits = index.dtype == torch.int64 and index.dim() == 1 and len(index) > 0
        if not fits or int(index.min()) < 0 or int(index.max()) >= count or bool((index.diff() <= 0).any()):
            raise ConfigError(
                f"layer {name} keeps {side} {index.tolist()}, expected at least one of the channels 0 to {count - 1}, "
                "ascending, as int64; correct the selection"
            )
    return keep


def _select(value: Tensor, axes: tuple[int, int | None], keep: Keep) -> Tensor:
    """The part of a tensor that stays, as a tensor of its own."""
    out_axis, in_axis = axes
    if keep.outputs is not None:
        value = value.index_select(out_axis, keep.outputs.to(value.device))
    if keep.inputs is not None and in_axis is not None:
        value = value.index_select(in_axis, keep.inputs.to(value.device))
    return value.clone()
