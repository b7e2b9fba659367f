"""Criteria on filters whose order is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanp import models
from sanp.pruning.check import channel_groups
from sanp.pruning.criteria import CRITERIA, batch_norm_scales, cluster_survivors, criteria, group_scores
from sanp_targets.errors import ConfigError


def network(rows):
    layer = nn.Conv2d(2, len(rows), 1)
    layer.weight.data = torch.tensor(rows, dtype=torch.float32)[:, :, None, None]
    return nn.Sequential(layer, nn.BatchNorm2d(len(rows)))


def score(name, rows, **options):
    return criteria([name], **options)[name](network(rows), "0")


def test_norms():
    rows = [[3.0, -4.0], [5.0, 0.0], [-0.5, 0.5]]
    assert score("L1", rows).tolist() == [7, 5, 1]
    assert score("L2", rows).tolist() == pytest.approx([5, 5, 0.5**0.5])


def test_the_filter_that_others_can_replace_has_the_least_distance():
    rows = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.6], [10.0, 0.0]]
    distance = score("EUCL", rows)
    by_hand = [sum(((a - c) ** 2 + (b - d) ** 2) ** 0.5 for c, d in rows) for a, b in rows]
    assert distance.tolist() == pytest.approx(by_hand) and int(distance.argmin()) == 2


def test_cosine_sums_distances_and_its_older_form_similarities():
    """Filters 0 and 1 point the same way, whatever their length; filter 3 points away from all."""
    rows = [[1.0, 0.1], [10.0, 1.0], [1.0, 0.4], [-1.0, 0.0]]
    distance, similarity = score("COS", rows), score("COS", rows, cos_legacy=True)
    torch.testing.assert_close(distance, 4 - similarity)
    assert float(distance[0]) == pytest.approx(float(distance[1]), abs=1e-5)
    assert int(distance.argmax()) == int(similarity.argmin()) == 3


def test_random_follows_the_seed():
    torch.manual_seed(3)
    first = score("RANDOM", [[1.0, 0.0]] * 5)
    torch.manual_seed(3)
    assert torch.equal(first, score("RANDOM", [[1.0, 0.0]] * 5)) and len(first.unique()) == 5


def test_survivors_are_the_first_of_their_clusters():
    assert cluster_survivors(torch.tensor([1, 0, 1, 2, 0])).tolist() == [1, 1, 0, 1, 0]


def test_scores_of_groups():
    """One layer: its own scores. Several: each layer's scores relative to their mean, so that none drowns another."""
    torch.manual_seed(0)
    network, image = models.build("resnet-20", width=0.5), torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        network.layer1[1].conv2.weight *= 100
    groups, by_l1 = channel_groups(network, image), CRITERIA["L1"]
    scores = group_scores(network, groups, by_l1)
    assert scores["layer1.0.conv1"].tolist() == pytest.approx(by_l1(network, "layer1.0.conv1").tolist())
    layers = [by_l1(network, layer).double() for layer in groups.rows["conv1"].layers]
    expected = torch.stack([row / row.mean() for row in layers]).mean(0)
    torch.testing.assert_close(scores["conv1"], expected)


def test_scales_of_the_batch_norms_of_a_group():
    torch.manual_seed(0)
    network, image = models.build("imagenet-mobilenet-v2", width=0.25), torch.zeros(1, 3, 32, 32)
    block = network.features[4].conv  # 1x1, norm, ReLU6, depthwise, norm, ReLU6, 1x1, norm
    for index in (1, 4):
        torch.nn.init.uniform_(block[index].weight, -1, 1)
    groups = channel_groups(network, image)
    scales = batch_norm_scales(network, groups)["features.4.conv.0"]
    expected = (block[1].weight.detach().abs() + block[4].weight.detach().abs()).double() / 2
    torch.testing.assert_close(scales, expected)
    plain = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.Flatten())
    assert batch_norm_scales(plain, channel_groups(plain, torch.zeros(1, 3, 2, 2))) == {}


def test_scores_carry_no_gradient_and_names_are_checked():
    assert not any(score(name, [[1.0, 2.0]] * 3).requires_grad for name in CRITERIA)
    assert list(criteria(["l1", "Cos"])) == ["L1", "COS"]
    for names in (["L3"], [], ["L1", "l1"]):
        with pytest.raises(ConfigError, match="expected one or several of L1, L2, EUCL, COS"):
            criteria(names)
