"""The network that is gated or exported: a copy without wrappers, in float32, its batch norms as torch's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from sanp.gating.norms import synchronised, unfrozen
from sanp.models.wrappers import unwrapped
from sanp_targets.errors import ConfigError


def prepared(model: nn.Module) -> nn.Module:
    """A copy of `model`; parameter names stay, but for the prefix of a wrapper.

    DataParallel, DistributedDataParallel, torch.compile and AveragedModel are taken off; half and double precision
    become float32; synchronised and frozen batch norms become ones that can be folded. Raises ConfigError, naming the
    call that helps, for a scripted network and for weights that are computed by hooks or parametrisations.
    """
    inner = unwrapped(model)
    _check(inner)
    try:
        made = copy.deepcopy(inner)
    except RuntimeError as error:
        raise ConfigError(
            f"{type(inner).__name__} cannot be copied ({str(error).splitlines()[0]}), expected a network whose weights "
            "are parameters; run it once if it has lazy layers, and remove hooks that compute weights"
        ) from error
    made = made.float()
    for module in list(made.modules()):
        other = synchronised(module) if isinstance(module, nn.SyncBatchNorm) else unfrozen(module)
        if other is not None:
            replace_module(made, module, other)
    return made


@contextmanager
def float32_surroundings() -> Iterator[None]:
    """Without ambient autocast, and with float32 as the default type."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as scope:
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    scope.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.set_default_dtype(default)


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` in every place where `old` is registered: a module may have several names, and forward uses any."""
    for name in [name for name, module in model.named_modules(remove_duplicate=False) if module is old]:
        model.set_submodule(name, new)


def _check(model: nn.Module) -> None:
    for name, module in model.named_modules():
        where = f"layer {name}" if name else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise ConfigError(
                f"{where} is a {type(module).__name__} of torch.jit, which has no Python code to look into, expected "
                "the network that it was made from; pass that one, before torch.jit.script or trace"
            )
        hooks = module._forward_pre_hooks.values()
        if prune.is_pruned(module) and any(isinstance(hook, prune.BasePruningMethod) for hook in hooks):
            raise ConfigError(
                f"{where} is pruned by torch.nn.utils.prune, which computes its weights in every call, expected plain "
                "parameters; call torch.nn.utils.prune.remove(layer, 'weight') first"
            )
        if any(type(hook).__name__ == "WeightNorm" for hook in hooks):
            raise ConfigError(
                f"{where} has old-style weight norm, expected plain parameters; call "
                "torch.nn.utils.remove_weight_norm(layer) first"
            )
        if parametrize.is_parametrized(module):
            raise ConfigError(
                f"{where} has parametrised weights, expected plain parameters; call "
                "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') first"
            )
