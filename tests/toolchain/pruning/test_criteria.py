"""Criteria on filters whose order is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanp.pruning.criteria import CRITERIA, batch_norm_scale, cluster_survivor, criteria
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


def test_scale_of_the_batch_norm_and_survivors_of_clusters():
    net = network([[1.0, 0.0]] * 5)
    net[1].weight.data = torch.tensor([0.1, -3.0, 0.0, 2.0, -0.2])
    assert batch_norm_scale({"0": "1"})(net, "0").tolist() == pytest.approx([0.1, 3, 0, 2, 0.2])
    clusters = torch.tensor([1, 0, 1, 2, 0])
    assert cluster_survivor(lambda layer: clusters)(net, "0").tolist() == [1, 1, 0, 1, 0]


def test_scores_carry_no_gradient_and_names_are_checked():
    assert not any(score(name, [[1.0, 2.0]] * 3).requires_grad for name in CRITERIA)
    assert list(criteria(["l1", "Cos"])) == ["L1", "COS"]
    for names in (["L3"], [], ["L1", "l1"]):
        with pytest.raises(ConfigError, match="expected one or several of L1, L2, EUCL, COS"):
            criteria(names)
