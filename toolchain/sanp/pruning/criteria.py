"""Criteria: how much each filter of a convolution matters. The lowest scores leave first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sanp.pruning.groups import Groups
from sanp.pruning.interfaces import Importance
from sanp_targets.errors import ConfigError


def l1(network: nn.Module, layer: str) -> Tensor:
    """Sum of the absolute weights of each filter (Li et al., ICLR 2017)."""
    return filters(network, layer).abs().sum(1)


def l2(network: nn.Module, layer: str) -> Tensor:
    """Euclidean norm of each filter."""
    return filters(network, layer).norm(dim=1)


def euclidean(network: nn.Module, layer: str) -> Tensor:
    """Sum of the distances to all filters of the layer: what the others can replace leaves first (as in FPGM)."""
    rows = filters(network, layer)
    # Not by the matrix product that cdist uses for many rows: it leaves 1e-3 between equal filters.
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def cosine(network: nn.Module, layer: str) -> Tensor:
    """Sum of the cosine distances to all filters of the layer."""
    return len(filters(network, layer)) - cosine_legacy(network, layer)


def cosine_legacy(network: nn.Module, layer: str) -> Tensor:
    """Sum of the cosine similarities: the least similar filter leaves first, as in the runs that LAASP published."""
    rows = F.normalize(filters(network, layer), dim=1)
    return (rows @ rows.T).sum(1)


def random(network: nn.Module, layer: str) -> Tensor:
    """Numbers of the global generator, as a control."""
    rows = filters(network, layer)
    return torch.rand(len(rows)).to(rows.device)  # the same on every device


CRITERIA: dict[str, Importance] = {
    "L1": l1,
    "L2": l2,
    "EUCL": euclidean,
    "COS": cosine,
    "RANDOM": random,
}


def criteria(names: Sequence[str], cos_legacy: bool = False) -> dict[str, Importance]:
    """Criteria by name, in this order; ConfigError for an unknown or repeated name, or none.

    cos_legacy: COS sums similarities instead of distances.
    """
    chosen = [str(name).upper() for name in names]
    known = {**CRITERIA, "COS": cosine_legacy} if cos_legacy else CRITERIA
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        found = f"criterion {unknown[0]!r} is not known" if unknown else f"criteria are {list(names)}"
        raise ConfigError(f"{found}, expected one or several of {', '.join(CRITERIA)}, each once; correct the names")
    return {name: known[name] for name in chosen}


def group_scores(network: nn.Module, groups: Groups, score: Importance) -> dict[str, Tensor]:
    """Scores of the units of each group, float64 [width] on the CPU.

    Where several convolutions write a unit, each layer's scores are divided by their mean, and then averaged.
    """
    found = {}
    for name, group in groups.rows.items():
        parts = []
        for layer in group.layers:
            written = group.writes(layer)
            values = torch.empty(group.width, dtype=torch.float64)
            values[written.units] = score(network, layer).cpu().double()[written.channels]
            parts.append(values / values.abs().mean().clamp_min(1e-30) if group.coupled else values)
        found[name] = torch.stack(parts).mean(0)
    return found


def batch_norm_scales(network: nn.Module, groups: Groups) -> dict[str, Tensor]:
    """Absolute scale of the batch norms of each unit (Network Slimming), float64 [width] on the CPU.

    The mean where several belong to it, as behind a depthwise convolution. Groups without one are left out.
    """
    found = {}
    for name, group in groups.rows.items():
        parts = []
        for member in group.members:
            module = network.get_submodule(member.layer)
            if isinstance(module, _BatchNorm) and module.affine:
                values = torch.empty(group.width, dtype=torch.float64)
                values[member.units] = _weight(network, member.layer).abs().cpu().double()[member.channels]
                parts.append(values)
        if parts:
            found[name] = torch.stack(parts).mean(0)
    return found


def cluster_survivors(clusters: Tensor) -> Tensor:
    """1 for the first unit of each cluster, 0 for the others, float64; clusters: cluster of each unit, int64."""
    earlier = (clusters[None, :] == clusters[:, None]).tril(-1).any(1)
    return (~earlier).double()


def filters(network: nn.Module, layer: str) -> Tensor:
    """The filters of a convolution as rows, [C_out, C_in * kh * kw], float32 at least, without gradient."""
    rows = _weight(network, layer).flatten(1)
    return rows if rows.dtype == torch.float64 else rows.float()


def _weight(network: nn.Module, layer: str) -> Tensor:
    weight = network.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return weight.detach()
