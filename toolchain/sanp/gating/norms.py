"""Batch norms in their many forms: subclasses with an activation inside, synchronised and frozen ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.tracing.trace import evaluation

_STATISTICS = ("weight", "bias", "running_mean", "running_var")


class FrozenNorm(nn.BatchNorm2d):
    """A batch norm that never learns: scale, shift and statistics are buffers, and training uses them too."""

    def __init__(self, frozen: nn.Module) -> None:
        """frozen: a module with the four buffers of `_STATISTICS`, [C] each, and perhaps `eps`."""
        tensors = {name: getattr(frozen, name).detach() for name in _STATISTICS}
        super().__init__(len(tensors["weight"]), eps=float(getattr(frozen, "eps", 1e-5)), affine=False)
        for name, value in tensors.items():
            self._parameters.pop(name, None)
            self._buffers.pop(name, None)
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def unfrozen(module: nn.Module) -> FrozenNorm | None:
    """The `FrozenNorm` that equals a module with the buffers of a batch norm and a forward pass of its own."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm) or any(module.children()):
        return None
    buffers = dict(module.named_buffers(recurse=False))
    if not all(name in buffers and buffers[name].dim() == 1 for name in _STATISTICS) or any(module.parameters()):
        return None
    made = FrozenNorm(module)
    return made if _equal(module, made, made.num_features, buffers["weight"].device) else None


def synchronised(norm: nn.SyncBatchNorm) -> nn.BatchNorm2d:
    """The batch norm of one process with the same parameters and statistics."""
    return _shared(norm)


def divided(norm: nn.BatchNorm2d) -> tuple[nn.BatchNorm2d, nn.Module] | None:
    """A batch norm of torch's own, with the same tensors, and what the subclass computes after it; None if unknown.

    The parts of a subclass are its modules in their order, such as a dropout and an activation. That is tried on random
    numbers before it is believed.
    """
    if type(norm).forward is nn.BatchNorm2d.forward or isinstance(norm, FrozenNorm):
        return norm, nn.Identity()
    if type(norm).forward is nn.modules.batchnorm._BatchNorm.forward:
        return norm, nn.Identity()
    parts = [part for part in norm.children() if not isinstance(part, nn.Identity)]
    # Nothing but identities, as timm has it where a block ends without an activation, is an identity.
    rest = nn.Identity() if not parts else parts[0] if len(parts) == 1 else nn.Sequential(*parts)
    plain = _shared(norm)
    whole = nn.Sequential(plain, rest)
    assert norm.running_mean is not None
    return (plain, rest) if _equal(norm, whole, norm.num_features, norm.running_mean.device) else None


def _shared(norm: Any) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    plain.weight, plain.bias = norm.weight, norm.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        plain._buffers[name] = getattr(norm, name)
    return plain.train(norm.training)


def _equal(one: nn.Module, other: nn.Module, channels: int, device: torch.device) -> bool:
    """Whether both modules answer alike in evaluation mode."""
    x = torch.randn(2, channels, 4, 3, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with evaluation(one), evaluation(other):
            first, second = one(x), other(x)
        return first.shape == second.shape and torch.allclose(first, second, rtol=1e-4, atol=1e-5)
    except (RuntimeError, TypeError, ValueError):
        return False
