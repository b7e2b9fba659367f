"""The CUDA channel gate on a GPU: bit for bit the promised order of sums."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32
from tests.native.cuda_gate_cases import random_gate


def check(library, memory, case, where):
    for name, got, expected in zip(("scale", "shift"), case.run(library, memory), case.expected(), strict=True):
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32), f"{name}, {where}")


@pytest.mark.parametrize("element", [FLOAT32, FLOAT16])
@pytest.mark.parametrize("seed", range(30))
def test_random_gates(library, memory, element, seed):
    rng = np.random.default_rng([seed, element])
    check(library, memory, random_gate(rng, element, k=int(rng.choice([0, 1, 5, 60]))), f"seed {seed}")


@pytest.mark.parametrize("k", [0, 100])
def test_the_largest_gates(library, memory, k):
    sizes = {"batch": 3, "c_in": 2048, "height": 7, "width": 7, "hidden": 512, "c_out": 4096, "k": k}
    check(library, memory, random_gate(np.random.default_rng(1), FLOAT16, **sizes), sizes)


def test_a_large_map(library, memory):
    sizes = {"batch": 2, "c_in": 64, "height": 112, "width": 112, "hidden": 16, "c_out": 64}
    check(library, memory, random_gate(np.random.default_rng(2), FLOAT32, **sizes), sizes)
