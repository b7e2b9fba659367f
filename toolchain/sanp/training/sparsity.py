"""The two forms of the cost loss: the published l1, and one that batch norm cannot cheat."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def weighted_l1(saliencies: Sequence[Tensor], weights: Sequence[Tensor], factor: Tensor) -> Tensor:
    """factor * sum over layers and channels of weight * s, mean over samples (arXiv 1910.08906 eq. 9, with weights).

    saliencies [N, C] and weights [C] per layer; factor is lambda, a scalar tensor. A negative factor rewards saliency
    only up to 1, because the reward has no other bound.
    """
    total = factor.new_zeros(())
    for s, weight in zip(saliencies, weights):
        total = total + factor.clamp(min=0) * (s.mean(0) @ weight)
        total = total + factor.clamp(max=0) * (s.clamp(max=1.0).mean(0) @ weight)
    return total


def effective_channels(saliencies: Sequence[Tensor], weights: Sequence[Tensor], factor: Tensor) -> Tensor:
    """factor * sum over layers of mean weight * (sum of s)^2 / (sum of s^2), mean over samples.

    The quotient counts channels: it is C when all C saliencies are equal and 1 when one is left (Hoyer's measure of
    sparsity). It does not change when a sample's saliencies shrink together. The l1 rewards exactly that, and the batch
    norm of the next convolution undoes it at no loss: open saliencies shrink to a fraction of the noise without a gate
    closing, until whole groups of samples lose every channel of a layer for good (docs/training.md has the numbers).
    """
    total = factor.new_zeros(())
    for s, weight in zip(saliencies, weights):
        total = total + weight.mean() * (s.sum(1).square() / (s.square().sum(1) + 1e-6)).mean()
    return factor * total
