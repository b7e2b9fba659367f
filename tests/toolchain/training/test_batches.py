"""Batches: seeds, shares of processes, sizes, augmentation."""

from __future__ import annotations

import torch

from sanp.data import Split
from sanp.training.batches import Batches, augmented
from sanp.training.seeding import seed_for


def test_batches_for_statistics_are_of_near_equal_size(gated):
    batches = gated[2]
    assert [len(batch) for batch in batches.even(63, most=1000)] == [32, 32]  # not 63 and 1
    assert [len(batch) for batch in batches.even(16, most=50)] == [13, 13, 12, 12]
    together = torch.cat([batch.labels for batch in batches.even(16, most=32)])
    assert together.tolist() == list(range(0, 64, 2)), "spread over all files, which may be sorted by class"


def test_batches_depend_on_the_seed_and_can_start_anywhere(gated):
    batches = gated[2]

    def numbers(*seed, skip=0):
        """The rows of each batch, by the labels, which number them here."""
        return [batch.labels.tolist() for batch in batches.epoch(seed_for(*seed), skip)]

    whole = numbers(0, "joint", 3)
    assert sorted(row for rows in whole for row in rows) == list(range(64))
    assert numbers(0, "joint", 3, skip=1) == whole[1:]
    assert numbers(1, "joint", 3) != whole


def test_shards_of_two_processes_are_disjoint():
    zeros = torch.zeros(3).numpy()
    split = Split(torch.rand(50, 3, 2, 2).numpy(), torch.arange(50).numpy(), zeros, zeros + 1)
    parts = [Batches(split, torch.device("cpu"), 20, rank, 2) for rank in range(2)]
    seen = [torch.cat([batch.labels for batch in part.epoch(7)]).tolist() for part in parts]
    assert [part.batch_size for part in parts] == [10, 10]
    assert len(seen[0]) == len(seen[1]) == 20 and not set(seen[0]) & set(seen[1])


def test_augmentation_moves_whole_images():
    class Kind:
        shift, flip = 2, True

    torch.manual_seed(0)
    image = torch.zeros(200, 1, 8, 8)
    image[:, 0, 3, 4] = 1.0
    found = augmented(image, Kind())
    spots = {tuple(row[1:].tolist()) for row in found[:, 0].nonzero()}
    assert len(found[:, 0].nonzero()) == 200  # no pixel lost or doubled
    assert {row for row, _ in spots} == set(range(1, 6))
    assert {column for _, column in spots} == set(range(1, 7))  # 4 +- 2 and its mirror 3 +- 2
    Kind.shift, Kind.flip = 0, False
    assert augmented(image, Kind()) is image
