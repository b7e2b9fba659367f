"""The two forms of the cost loss: the published l1, and one that batch norm cannot cheat.

Both take the saliencies of all layers side by side: a dozen small operations per joint step, not a dozen per layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def weighted_l1(s: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
    """factor * sum over channels of weight * s, mean over samples (arXiv 1910.08906 eq. 9, with weights).

    s [N, C] and weight [C] over the channels of all layers; factor is lambda, a scalar tensor. A negative factor
    rewards saliency only up to 1, because the reward has no other bound.
    """
    rewarded = s.clamp(max=1.0).mean(0) @ weight
    return factor.clamp(min=0) * (s.mean(0) @ weight) + factor.clamp(max=0) * rewarded


def effective_channels(s: Tensor, layers: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
    """factor * sum over layers of weight * (sum of s)^2 / (sum of s^2), mean over samples.

    s [N, C] over the channels of all layers, layers [C, L] says which is whose (see `membership`), weight [L].

    The quotient counts channels: it is C when all C saliencies are equal and 1 when one is left (Hoyer's measure of
    sparsity). It does not change when a sample's saliencies shrink together. The l1 rewards exactly that, and the batch
    norm of the next convolution undoes it at no loss: open saliencies shrink to a fraction of the noise without a gate
    closing, until whole groups of samples lose every channel of a layer for good (docs/training.md has the numbers).
    """
    channels = (s @ layers).square() / (s.square() @ layers + 1e-6)  # [N, L]
    return factor * (channels.mean(0) @ weight)


def membership(sizes: Sequence[int]) -> Tensor:
    """float32 [sum of sizes, len(sizes)]: 1 where a channel belongs to a layer."""
    return torch.block_diag(*[torch.ones(size, 1) for size in sizes])
