"""The two forms of the cost loss: signs, weights and invariances."""

from __future__ import annotations

import pytest
import torch

from sanp.gating.sparsity import effective_channels, membership, weighted_l1

ONE = torch.tensor(1.0)


def effective(saliencies, weights=None):
    """The loss of layers given one by one, at lambda = 1."""
    sizes = [s.shape[1] for s in saliencies]
    weight = torch.ones(len(sizes)) if weights is None else torch.tensor(weights)
    return effective_channels(torch.cat(saliencies, dim=1), membership(sizes), weight, ONE)


def test_effective_channels_counts_and_ignores_scale():
    equal, single = torch.full((3, 8), 0.2), torch.zeros(3, 8)
    single[:, 2] = 5.0
    assert float(effective([equal])) == pytest.approx(8, rel=1e-3)
    assert float(effective([single])) == pytest.approx(1, rel=1e-3)
    s = torch.rand(5, 8)
    assert float(effective([s])) == pytest.approx(float(effective([3 * s])), rel=1e-4)
    assert float(effective([torch.zeros(2, 8)])) == 0  # and no division by zero


def test_effective_channels_adds_up_layers_of_different_widths():
    torch.manual_seed(0)
    layers, weights = [torch.rand(6, size) + 0.5 for size in (5, 1, 9)], [0.5, 2.0, 1.25]
    expected = 0.0
    for s, weight in zip(layers, weights):
        rows = s.double().numpy()
        expected += weight * (rows.sum(1) ** 2 / (rows**2).sum(1)).mean()
    assert float(effective(layers, weights)) == pytest.approx(expected, rel=1e-5)


def test_effective_channels_pushes_small_saliencies_down_and_large_ones_up():
    s = torch.tensor([[0.1, 0.2, 1.0, 1.5]], requires_grad=True)
    effective([s]).backward()
    assert (s.grad[0, :2] > 0).all() and s.grad[0, 3] < 0  # the boundary is (sum of s^2) / (sum of s) = 1.18
    assert float((s.grad * s.detach()).sum()) == pytest.approx(0, abs=1e-5)  # nothing to gain from the common scale


def test_l1_is_weighted_and_its_reward_is_capped():
    s = torch.tensor([[0.5, 2.0]], requires_grad=True)
    weight = torch.tensor([1.0, 3.0])
    assert weighted_l1(s, weight, ONE).item() == 6.5
    (grad,) = torch.autograd.grad(weighted_l1(s, weight, -ONE), s)
    assert grad.tolist() == [[-1, 0]]
