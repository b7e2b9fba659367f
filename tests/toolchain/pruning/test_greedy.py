"""The loss-aware choice: a known redundant filter, masks against removal, steps, caps, the last step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sanp import models
from sanp.cost.macs import MacCounter
from sanp.data.batch import Batch
from sanp.pruning.check import channel_groups
from sanp.pruning.criteria import criteria
from sanp.pruning.greedy import (
    Candidate,
    LossAware,
    allowed_step,
    mean_loss,
    propose,
    steps_by_cost,
    steps_by_width,
    trimmed,
)
from sanp.pruning.removal import remove
from sanp.pruning.selection import Limits
from sanp.pruning.width_cost import WidthCost

IMAGE = torch.zeros(1, 3, 32, 32)
SMALL = torch.zeros(1, 3, 6, 6)
POOL = ("L1", "L2", "EUCL", "COS")


def toy():
    """Two layers. In the first, filter 2 is large and lies between the others, and nobody reads it; filter 0 has the
    least norm and matters. In the second, every filter matters."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1, bias=False), nn.BatchNorm2d(3),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3),
    )  # fmt: skip
    rows = torch.tensor([[1.5, 0, 0], [0, 3.0, 0], [1.2, 1.2, 1.2], [0, 0, 3.0]])
    network[0].weight.data = rows[:, :, None, None]
    network[3].weight.data = torch.tensor([[12.0, 0, 0, 0], [0, 6.0, 0, 0], [0, 0, 0, 6.0]])[:, :, None, None]
    network[8].weight.data, network[8].bias.data = 3 * torch.eye(3), torch.zeros(3)
    x = torch.rand(60, 3, 6, 6) * torch.rand(60, 3, 1, 1)
    network.eval()
    with torch.no_grad():
        labels = network(x).argmax(1)
    assert len(labels.unique()) == 3
    return network, [Batch(x[:30], labels[:30]), Batch(x[30:], labels[30:])]


def judge(samples, reuse=False):
    return LossAware(samples, reuse, lambda value: value)


def test_the_pool_finds_the_redundant_filter_that_the_norms_keep():
    network, samples = toy()
    groups = channel_groups(network, SMALL)
    counts = dict.fromkeys(groups.rows, 1)
    with torch.no_grad():
        base = float(mean_loss(network, samples))
    best, loss = judge(samples).choose(network, groups, propose(network, groups, criteria(POOL), counts))
    assert (best.layer, best.criterion, best.units.tolist()) == ("0", "EUCL", [2])
    assert loss == pytest.approx(base, abs=1e-9)
    alone, worse = judge(samples).choose(network, groups, propose(network, groups, criteria(["L1"]), counts))
    assert alone.units.tolist() != [2] and worse > base + 0.05


def test_the_choice_is_the_least_loss_by_removal():
    """Brute force: a copy and a real removal for every candidate."""
    network, samples = toy()
    groups = channel_groups(network, SMALL)
    candidates = propose(network, groups, criteria(POOL), dict.fromkeys(groups.rows, 1))
    assert [(row.layer, row.criterion) for row in candidates] == [(layer, name) for layer in "03" for name in POOL]
    by_removal = []
    for row in candidates:
        small = copy.deepcopy(network)
        remove(small, groups, {row.group: row.units})
        with torch.no_grad():
            by_removal.append(float(mean_loss(small, samples)))
    scorer = judge(samples)
    best, loss = scorer.choose(network, groups, candidates)
    assert loss == pytest.approx(min(by_removal), abs=1e-6) and candidates.index(best) == by_removal.index(
        min(by_removal)
    )
    assert scorer.evaluations == 1 + len({row.key for row in candidates}) < 1 + len(candidates)


@pytest.mark.parametrize("name", ["resnet-20", "imagenet-mobilenet-v2", "vgg-16"])
def test_the_loss_of_a_masked_network_is_that_of_the_smaller_one(name):
    torch.manual_seed(0)
    network = models.build(name, width=0.25)
    samples = [Batch(torch.randn(8, 3, 32, 32), torch.arange(8))]
    network.train()
    network(samples[0].images)  # statistics that are not those of the start
    network.eval()
    groups = channel_groups(network, IMAGE)
    candidates = propose(
        network, groups, criteria(POOL), {key: max(1, row.width // 3) for key, row in groups.rows.items()}
    )
    base = judge(samples)
    for row in candidates[:: max(1, len(candidates) // 12)]:
        _, masked_loss = base.choose(network, groups, [row])
        small = copy.deepcopy(network)
        remove(small, groups, {row.group: row.units})
        with torch.no_grad():
            assert masked_loss == pytest.approx(float(mean_loss(small, samples)), rel=1e-5)


def test_reuse_evaluates_only_what_is_new():
    network, samples = toy()
    groups = channel_groups(network, SMALL)
    scorer, pool = judge(samples, reuse=True), criteria(["L1", "EUCL"])
    counts = dict.fromkeys(groups.rows, 1)
    best, _ = scorer.choose(network, groups, propose(network, groups, pool, counts))
    first = scorer.evaluations
    remove(network, groups, {best.group: best.units})
    groups = groups.after({best.group: best.units})
    scorer.removed(best.group)
    candidates = propose(network, groups, pool, counts)
    known = {row.key for row in candidates if row.group != best.group}
    scorer.choose(network, groups, candidates)
    assert known and scorer.evaluations - first < 1 + len({row.key for row in candidates})


def test_in_a_coupled_group_every_writer_proposes_and_all_lose_the_same_filters():
    torch.manual_seed(0)
    network = models.build("resnet-20", width=0.5)
    groups = channel_groups(network, IMAGE)
    rows = [row for row in propose(network, groups, criteria(["L1"]), {"conv1": 2}) if row.group == "conv1"]
    assert [row.layer for row in rows] == list(groups.rows["conv1"].layers)
    for row in rows:
        scores = network.get_submodule(row.layer).weight.detach().abs().sum((1, 2, 3))
        assert row.units.tolist() == scores.argsort()[:2].tolist()
    remove(network, groups, {"conv1": rows[2].units})
    assert {network.get_submodule(layer).out_channels for layer in groups.rows["conv1"].layers} == {6}


def test_steps_of_the_published_runs_on_resnet56():
    """One percent of the cost: 16 -> 4 by fours, 32 -> 14 by nines, 64 -> 13 by seventeens, streams by one and two."""
    network = models.build("resnet-56")
    groups = channel_groups(network, IMAGE)
    steps = steps_by_cost(groups, WidthCost(network, IMAGE, groups, MacCounter), 0.01)
    assert [steps[f"layer{stage}.4.conv1"] for stage in (1, 2, 3)] == [4, 9, 17]
    assert [steps[name] for name in ("conv1", "layer2.0.conv2", "layer3.0.conv2")] == [1, 1, 2]
    published = ({16: [12, 8, 4]}, {32: [23, 14]}, {64: [47, 30, 13]})
    for (row,), step in zip((table.items() for table in published), (4, 9, 17), strict=True):
        width, chain = row[0], []
        while count := allowed_step(width, row[0], step, Limits(cap=0.55), hard=False):
            width -= count
            chain.append(width)
        assert chain == row[1]


def test_steps_of_the_published_runs_on_vgg16():
    """A tenth of the filters that are there: the widths of both published networks lie on these chains."""
    groups = channel_groups(models.build("vgg-16"), IMAGE)
    chains = {}
    for first in (64, 128, 256, 512):
        width, chains[first] = first, [first]
        for _ in range(16):
            row = next(row for row in groups.rows.values() if row.width == first)
            shrunk = type(row)(row.name, width, row.members, row.layers)
            width -= steps_by_width(type(groups)({row.name: shrunk}, {}), 0.1)[row.name]
            chains[first].append(width)
    full = [64, 64, 128, 128, *[256] * 3, *[512] * 6]
    for published in (
        [31, 52, 84, 128, 207, 230, 88, 245, 144, 105, 336, 336, 336],
        [34, 58, 115, 128, 230, 230, 230, 220, 461, 373, 415, 220, 373],
    ):
        assert all(width in chains[first] for first, width in zip(full, published, strict=True))


def test_a_step_is_clipped_by_a_cap_and_by_the_multiple():
    assert allowed_step(16, 16, 4, Limits(cap=0.75), True) == 4
    assert allowed_step(6, 16, 4, Limits(cap=0.75), True) == 2  # 4 have to stay
    assert allowed_step(4, 16, 4, Limits(cap=0.75), True) == 0
    assert allowed_step(2, 16, 4, Limits(cap=1.0), True) == 1
    assert allowed_step(32, 32, 3, Limits(multiple=8), True) == 8
    assert allowed_step(20, 20, 3, Limits(multiple=8), True) == 4
    assert allowed_step(8, 32, 3, Limits(multiple=8), True) == 0


def test_the_last_step_takes_no_more_than_the_budget_needs():
    network = models.build("m-cifarnet", width=0.25)
    groups = channel_groups(network, IMAGE)
    cost = WidthCost(network, IMAGE, groups, MacCounter)
    units = torch.tensor([5, 1, 9, 3, 0])
    candidate, gone = Candidate("conv1.conv", "conv1.conv", "L1", units), {"conv3.conv": 4}
    budget = cost.share({**gone, "conv1.conv": 3}) + 1e-6
    assert trimmed(candidate, groups, cost, gone, budget, Limits()).units.tolist() == [5, 1, 9]
    assert trimmed(candidate, groups, cost, gone, 0.1, Limits()) is candidate
    assert len(trimmed(candidate, groups, cost, gone, budget, Limits(multiple=4)).units) == 4


class Halves(nn.Module):
    """A convolution whose halves are added to two others: one layer in two groups."""

    def __init__(self):
        super().__init__()
        self.whole, self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.read, self.head = nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x):
        y = self.whole(x) + torch.cat([self.first(x), self.second(x)], 1)
        return self.head(self.read(torch.relu(y)).mean((2, 3)))


def test_a_layer_in_two_groups_has_a_proposal_in_each():
    torch.manual_seed(0)
    network, x = Halves(), torch.zeros(1, 3, 8, 8)
    groups = channel_groups(network, x)
    halves = {"whole with first", "whole with second"}
    assert set(groups.rows) == halves | {"read"}
    rows = propose(network, groups, criteria(["L1"]), dict.fromkeys(halves, 1))
    whole = {row.group: row for row in rows if row.layer == "whole"}
    scores = network.whole.weight.detach().abs().sum((1, 2, 3))
    for start, name in ((0, "whole with first"), (4, "whole with second")):
        member = groups.rows[name].writes("whole")
        expected = start + int(scores[start : start + 4].argmin())
        assert member.of(whole[name].units).tolist() == [expected]
