"""Networks that amplify rounding: their errors are allowed, those of a kernel are not."""

from __future__ import annotations

import numpy as np
import pytest

from sanp_runtime.validate import replay_check
from sanp_runtime.validate.amplification import moved_by_rounding
from sanp_runtime.validate.tolerance import EPS, relative_tolerance
from tests.support import tiny_net

LAYERS = tiny_net.LAYERS


def difference(gain):
    """Images -> gain times the difference of two values that are nearly equal."""
    return lambda x: {"logits": (np.float32(gain) * (x[:, 0, 0, :1] - x[:, 0, 0, 1:2])).astype(np.float32)}


@pytest.fixture
def images():
    x = np.ones((6, 1, 1, 2), np.float32)
    x[:, 0, 0, 1] += np.float32(1e-3) * np.arange(1, 7, dtype=np.float32)
    return x


def test_a_difference_moves_by_the_rounding_of_its_terms(images):
    moved = moved_by_rounding(difference(100.0), images)["logits"]
    assert moved.shape == (6,) and (moved <= 2.01 * 100 * EPS * 1.01).all() and moved.max() > 100 * EPS


def test_half_precision_moves_by_its_own_unit(images):
    single = moved_by_rounding(difference(1.0), images)["logits"]
    assert moved_by_rounding(difference(1.0), images, "fp16")["logits"].max() > 1000 * single.max()


def test_what_rounding_moves_is_allowed_and_more_is_not(images):
    reference = difference(1.0)(images)
    moved = moved_by_rounding(difference(1.0), images)
    off = {"logits": reference["logits"] + (2 * moved["logits"][:, None]).astype(np.float32)}
    assert not replay_check(LAYERS, reference, off).passed, "a difference of 1e-3 has an error of 1e-4"
    report = replay_check(LAYERS, reference, off, moved=moved)
    assert report.passed and report.amplified and "amplifies rounding" in report.summary()
    wrong = {"logits": reference["logits"] + (9 * moved["logits"][:, None]).astype(np.float32)}
    assert not replay_check(LAYERS, reference, wrong, moved=moved).passed
    quiet = replay_check(LAYERS, reference, reference, moved=moved)
    assert quiet.passed and not quiet.amplified and "amplifies" not in quiet.summary()


def test_the_error_of_pytorch_itself_is_allowed_four_times(images):
    reference = difference(1.0)(images)
    own = 10 * relative_tolerance(LAYERS)
    for factor, passed in ((3.9, True), (4.2, False)):
        off = {"logits": (reference["logits"] * (1 + factor * own)).astype(np.float32)}
        assert replay_check(LAYERS, reference, off, own_error=own).passed is passed


def test_nan_explains_nothing(images):
    reference = difference(1.0)(images)
    moved = {"logits": np.full(6, np.nan)}
    off = {"logits": reference["logits"] * np.float32(1.01)}
    assert not replay_check(LAYERS, reference, off, moved=moved).passed
