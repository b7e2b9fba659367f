"""The rule of gates that keep the k largest saliencies of each sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sanp_targets.errors import ConfigError


def check_density(density: float) -> float:
    """The density itself; ConfigError unless it is a share of channels in (0, 1]."""
    if not 0 < density <= 1:
        raise ConfigError(f"density is {density}, expected a share of channels in (0, 1]; correct it")
    return density


def most_open(density: float, channels: int) -> int:
    """ceil(density * channels), at least 1; the small offset keeps 0.3 * 10 at 3."""
    return max(1, math.ceil(density * channels - 1e-9))


class KeepsChannels:
    """What gates share that keep at most k channels open: a share of them, or a number that a plan gives the layer."""

    density: float
    k: int

    @property
    def c_out(self) -> int:
        """Output channels of the layer."""
        raise NotImplementedError

    def set_density(self, density: float) -> None:
        """Keep ceil(density * C_out) channels from now on."""
        self.density, self.k = density, most_open(density, self.c_out)

    def set_count(self, count: int) -> None:
        """Keep at most this many channels from now on; the density stays what it was meant to be."""
        self.k = count

    @property
    def exported_k(self) -> int:
        """k for the device: 0 when every channel may stay open."""
        return self.k if self.k < self.c_out else 0


def top_k_mask(s: Tensor, k: int, threshold: Tensor | float = 0.0) -> Tensor:
    """0/1 mask [N, C] of the saliencies s [N, C] that exceed the threshold and the k+1-th largest of their sample.

    The k+1-th largest must be exceeded, so ties close and never more than k channels are open.
    """
    limit = torch.as_tensor(threshold, dtype=s.dtype, device=s.device).expand(s.shape[0], 1)
    if k < s.shape[1]:
        limit = torch.maximum(limit, s.topk(k + 1, dim=1).values[:, -1:])
    return (s > limit).to(s.dtype)
