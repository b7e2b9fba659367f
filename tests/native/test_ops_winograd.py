"""Winograd inside ONNX Runtime: the limit of a session, maps of several sizes, weights that are not constant."""

from __future__ import annotations

import numpy as np
import pytest

from tests.native import op_models as models


def make_case(size: int, seed: int = 3) -> models.ConvCase:
    return models.padded_conv(np.random.default_rng(seed), 48, 40, size)


def expected(case: models.ConvCase) -> np.ndarray:
    return models.session(case.model(), accelerated=False).run(None, case.feeds)[0]


def test_the_limit_changes_the_kernel_and_not_the_answer():
    case = make_case(16)
    reference, answers = expected(case), {}
    for tile in (0, 2, 4):
        answers[tile] = models.session(case.model(), winograd=tile).run(None, case.feeds)[0]
        np.testing.assert_allclose(answers[tile], reference, rtol=0, atol=2e-6 * np.abs(reference).max())
    assert not np.array_equal(answers[0], answers[2])
    assert not np.array_equal(answers[2], answers[4])


@pytest.mark.parametrize("isa", models.usable_isas())
def test_one_session_serves_maps_of_several_sizes(isa):
    cases = [make_case(size) for size in (16, 15, 8, 7, 4, 30, 16)]
    model = models.model_bytes(
        "SanpGatedConv", {**dict.fromkeys(models.CONV_INPUTS), "x": ["N", 48, "H", "W"]}, ("y",),
        {"w": cases[0].weights}, None, **cases[0].attributes,
    )  # fmt: skip
    session = models.session(model, True, 1, isa)
    for case in cases:
        reference = expected(case)
        np.testing.assert_allclose(session.run(None, case.feeds)[0], reference, rtol=0, atol=2e-6 * reference.max())


def test_weights_that_may_change_are_never_prepared():
    case = make_case(16)
    direct = models.session(case.model(), winograd=0).run(None, case.feeds)[0]
    session = models.session(case.model(weights_constant=False))
    for factor in (1, 2):  # a transform kept from the first run would show in the second
        got = session.run(None, {**case.feeds, "shift": factor * case.feeds["shift"], "w": factor * case.weights})[0]
        np.testing.assert_array_equal(got, factor * direct)
