"""Weights in 16 bits inside ONNX Runtime: the same bits as without, and only where the weights fit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.native import op_models as models


def rounded(weights: np.ndarray) -> np.ndarray:
    """Float32 without its lower half: every value is a bfloat16 number."""
    return (weights.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def make_case(rng: np.random.Generator, *shape: int) -> models.ConvCase:
    case = models.padded_conv(rng, *shape)
    return replace(case, weights=rounded(case.weights))


# Layers large enough for tiles to use 16 bits, and maps for vectors of pairs and for dot products.
SHAPES = [
    (256, 520, 4, 3), (128, 520, 8, 3, 2), (256, 520, 3, 3), (48, 40, 2, 3), (48, 40, 1, 3), (512, 512, 4, 1),
    (64, 48, 2, 1),
]  # fmt: skip


@pytest.mark.parametrize("isa", models.usable_isas())
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_not_a_bit_changes_and_the_function_agrees(isa, shape):
    case = make_case(np.random.default_rng(5), *shape)
    answers = []
    for on in (0, 1):
        for threads in (1, 2):
            answers.append(models.session(case.model(), True, threads, isa, bf16_weights=on).run(None, case.feeds)[0])
    for other in answers[1:]:
        np.testing.assert_array_equal(other.view(np.uint32), answers[0].view(np.uint32))
    expected = models.session(case.model(), accelerated=False).run(None, case.feeds)[0]
    np.testing.assert_allclose(answers[-1], expected, rtol=0, atol=case.tolerance())


def test_weights_that_may_change_are_never_copied():
    case = make_case(np.random.default_rng(6), 256, 520, 4, 3)
    session = models.session(case.model(weights_constant=False))
    first = session.run(None, {**case.feeds, "w": case.weights})[0]
    # A copy kept from the first run would show in the second.
    second = session.run(None, {**case.feeds, "shift": 2 * case.feeds["shift"], "w": 2 * case.weights})[0]
    np.testing.assert_array_equal(second, 2 * first)


def test_one_session_serves_small_and_large_maps():
    rng = np.random.default_rng(7)
    cases = [make_case(rng, 256, 264, size, 3) for size in (4, 8, 2, 1, 4, 5)]
    model = models.model_bytes(
        "SanpGatedConv", {**dict.fromkeys(models.CONV_INPUTS), "x": ["N", 256, "H", "W"]}, ("y",),
        {"w": cases[0].weights}, None, **cases[0].attributes,
    )  # fmt: skip
    session = models.session(model)
    for case in cases:
        case.weights = cases[0].weights
        expected = models.session(case.model(), accelerated=False).run(None, case.feeds)[0]
        np.testing.assert_allclose(session.run(None, case.feeds)[0], expected, rtol=0, atol=case.tolerance())


GROWTH = """
import sys
import numpy as np
sys.path[:0] = {path!r}
from tests.native import op_models as models
from tests.native import test_ops_bf16 as here
case = here.make_case(np.random.default_rng(8), 1024, 1024, 4, 3)
if {spoiled}:
    case.weights[-1, -1, -1, -1] = np.float32(1 / 3)
session = models.session(case.model(function=False), bf16_weights={on})
def resident():
    return int(open("/proc/self/statm").read().split()[1])
before = resident()
session.run(None, case.feeds)
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_copy_is_made_only_for_weights_that_fit_and_only_if_allowed():
    """Equal bits cannot tell which kernel ran, but 1024 x 1024 x 9 weights in 16 bits are 18.9 MB of new memory."""

    def growth(on: int, spoiled: bool) -> float:
        code = GROWTH.format(path=sys.path, on=on, spoiled=spoiled)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return int(done.stdout) * 4096 / 1e6

    copy = 1024 * 1024 * 9 * 2 / 1e6
    without = growth(0, False)
    assert 0.9 * copy < growth(1, False) - without < 1.3 * copy
    assert abs(growth(1, True) - without) < 0.3 * copy
