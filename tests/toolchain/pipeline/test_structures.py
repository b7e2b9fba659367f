"""Fifteen structures through gate, export and compile, beside PyTorch and plain ONNX Runtime: the zoo in small."""

from __future__ import annotations

import pytest
import torch

from benchmarks.zoo.journey import row_of
from tests.support.structures import STRUCTURES


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_comes_through(name):
    build, gated, followers = STRUCTURES[name]
    torch.manual_seed(1)
    row = row_of(build(), 32)
    assert row["result"] == "right", row["why"]
    assert (row["gated"], row["followers"]) == (gated, followers), row["skipped"]
    assert row["macs_tracker"] == row["macs_graph"] > row["gated_macs_graph"] > 0.2 * row["macs_graph"]
    assert max(row["error_kernels"], row["error_plain"]) < 1e-5


def test_a_network_that_is_wrong_is_seen():
    """The journey itself: an answer that changes behind its back is no right row."""

    class Restless(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.calls = STRUCTURES["ghost"][0](), 0

        def forward(self, x):
            self.calls += 1
            return self.net(x) * (1 + 1e-3 * self.calls)

    row = row_of(Restless(), 32)
    assert row["result"] == "wrong" and "L0 replay: FAIL" in row["why"]
