"""Wrong shapes, attributes and types end in an exception that says what to do, never in a crash."""

from __future__ import annotations

import numpy as np
import pytest

from tests.native import op_models as models

RUNTIME_ERRORS = (Exception,)  # onnxruntime raises several types that share no base
GOOD_ATTRIBUTES = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1, "act_min": 0.0,
                   "act_max": 6.0}  # fmt: skip


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


GOOD_FEEDS = {"x": ones(2, 4, 5, 5), "w": ones(6, 4, 3, 3), "scale": ones(2, 6), "shift": ones(2, 6),
              "in_active": ones(2, 4), "residual": ones(1)}  # fmt: skip


def run_conv(feeds: dict, attributes: dict) -> np.ndarray:
    model = models.model_bytes("SanpGatedConv", dict.fromkeys(models.CONV_INPUTS), ("y",), {}, **attributes)
    return models.session(model).run(None, feeds)[0]


def test_the_good_case_is_good():
    assert run_conv(GOOD_FEEDS, GOOD_ATTRIBUTES).shape == (2, 6, 5, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": ones(4, 5, 5)}, ["'x'", "[4, 5, 5]", "4 dimensions"]),
        ({"x": ones(2, 4, 5, 5, 1, 1, 1, 1, 1)}, ["'x'", "9 dimensions"]),
        ({"x": ones(2, 0, 5, 5)}, ["'x'", "at least 1"]),
        ({"x": ones(2, 4, 0, 5)}, ["'x'", "at least 1"]),
        ({"x": ones(2, 5, 5, 5)}, ["'w'", "[6, 4, 3, 3]", "5 input channels"]),
        ({"w": ones(6, 4, 3)}, ["'w'", "4 dimensions"]),
        ({"w": ones(0, 4, 3, 3)}, ["'w'", "at least 1"]),
        ({"w": ones(6, 4, 0, 3)}, ["'w'", "at least 1"]),
        ({"w": ones(6, 3, 3, 3)}, ["'w'", "expected 4 input channels"]),
        ({"w": ones(6, 4, 9, 3)}, ["does not fit", "9 x 3", "[2, 4, 5, 5]"]),
        ({"scale": ones(2, 7)}, ["'scale'", "[2, 7]", "[2, 6]"]),
        ({"scale": ones(3, 6)}, ["'scale'", "[3, 6]", "[1, 6]"]),
        ({"scale": ones(6)}, ["'scale'", "[6]"]),
        ({"scale": ones(0, 6)}, ["'scale'", "[0, 6]"]),
        ({"shift": ones(2, 5)}, ["'shift'", "[2, 5]"]),
        ({"in_active": ones(2, 6)}, ["'in_active'", "[2, 4]"]),
        ({"residual": ones(2, 6, 5, 4)}, ["'residual'", "[2, 6, 5, 4]", "[2, 6, 5, 5]"]),
        ({"residual": ones(1, 6, 5, 5)}, ["'residual'", "one element"]),
        ({"residual": ones(0)}, ["'residual'", "one element"]),
    ],
)
def test_wrong_input_is_explained(change, words):
    with pytest.raises(RUNTIME_ERRORS) as error:
        run_conv({**GOOD_FEEDS, **change}, GOOD_ATTRIBUTES)
    for word in ["SanpGatedConv", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strides": [0, 1]}, ["'strides'", "at least 1"]),
        ({"strides": [1, -3]}, ["'strides'", "at least 1"]),
        ({"strides": [1]}, ["'strides'", "1 values", "expected 2"]),
        ({"strides": 1}, ["'strides'", "list of integers"]),
        ({"strides": None}, ["'strides'", "missing"]),
        ({"pads": [1, 1, 1, -1]}, ["'pads'", "0 or more"]),
        ({"pads": [1, 1]}, ["'pads'", "expected 4"]),
        ({"dilations": [1, 0]}, ["'dilations'", "at least 1"]),
        ({"group": 0}, ["'group'", "at least 1"]),
        ({"group": -2}, ["'group'", "at least 1"]),
        ({"group": 3}, ["group = 3", "does not divide"]),
        ({"group": 2}, ["'w'", "2 input channels per group"]),
        ({"act_min": None}, ["'act_min'", "missing"]),
        ({"act_max": float("nan")}, ["'act_max'", "NaN"]),
        ({"act_min": 0.5, "act_max": -1.0}, ["'act_min'", "0.5 and -1", "not above"]),
        ({"pads": [1 << 62] * 4}, ["does not fit"]),
        ({"pads": [1 << 29, 1 << 29, 0, 0]}, ["exceeds"]),
        ({"dilations": [1 << 62, 1]}, ["does not fit"]),
    ],
)
def test_wrong_attribute_is_explained(change, words):
    attributes = {k: v for k, v in {**GOOD_ATTRIBUTES, **change}.items() if v is not None}
    with pytest.raises(RUNTIME_ERRORS) as error:
        run_conv(GOOD_FEEDS, attributes)
    for word in ["SanpGatedConv", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("attributes", [{"strides": [1 << 40, 1 << 62]}, {"pads": [400, 0, 300, 900]}])
def test_extreme_but_legal_attributes_run(attributes):
    assert run_conv(GOOD_FEEDS, {**GOOD_ATTRIBUTES, **attributes}).size > 0


def test_random_attributes_and_shapes_never_crash():
    """Whatever comes in, a result or an exception comes out; the process is still alive to say so."""
    rng = np.random.default_rng(0)
    ran = refused = 0
    for _ in range(600):
        pick = lambda *values: int(rng.choice(values))  # noqa: E731
        attributes = {
            "strides": [pick(-1, 0, 1, 1, 2, 5, 1 << 33) for _ in range(2)],
            "pads": [pick(-1, 0, 0, 1, 2, 50, 1 << 40) if rng.random() < 0.5 else 1 for _ in range(4)],
            "dilations": [pick(0, 1, 1, 2, 7, 1 << 35) for _ in range(2)],
            "group": pick(0, 1, 1, 1, 2, 4), "act_min": 0.0, "act_max": float(rng.choice([6.0] * 9 + [-1.0])),
        }  # fmt: skip
        feeds = {}
        for name, value in GOOD_FEEDS.items():
            shape = list(value.shape)
            if rng.random() < 0.15:
                shape[int(rng.integers(len(shape)))] = pick(0, 1, 2, 3, 9)
            if rng.random() < 0.05:
                shape = shape[1:]
            feeds[name] = np.full(shape, rng.choice([0.0, 1.0, np.nan, np.inf]), np.float32)
        try:
            run_conv(feeds, attributes)
            ran += 1
        except RUNTIME_ERRORS as error:
            assert str(error)
            refused += 1
    assert ran > 5
    assert refused > 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": ones(2, 4, 5)}, ["'x'", "4 dimensions"]),
        ({"x": ones(2, 4, 0, 5)}, ["'x'", "at least 1"]),
        ({"w1": ones(3, 5)}, ["'w1'", "[3, 4]"]),
        ({"b1": ones(4)}, ["'b1'", "[3]"]),
        ({"w2": ones(6, 4)}, ["'w2'", "[6, 3]"]),
        ({"b2": ones(6, 1)}, ["'b2'", "[6]"]),
        ({"bias": ones(5)}, ["'bias'", "[6]"]),
        ({"bias": ones(3, 6)}, ["'bias'", "[2, 6]"]),
        ({"w1": ones(2)}, ["'w1'", "2 dimensions"]),
        ({"w1": ones(1)}, ["'b1'", "[1]"]),
        ({"w1": ones(1), "b1": ones(1)}, ["'w2'", "[6, 4]"]),
        ({"mask": ones(3, 6)}, ["'mask'", "[2, 6]"]),
        ({"k": 6}, ["'k'", "0 <= k < 6"]),
        ({"k": -1}, ["'k'"]),
        ({"k": 1.5}, ["'k'", "integer"]),
        ({"threshold": float("nan")}, ["'threshold'", "NaN"]),
        ({"threshold": None}, ["'threshold'", "missing"]),
    ],
)
def test_wrong_gate_is_explained(change, words):
    feeds = {"x": ones(2, 4, 5, 5), "w1": ones(3, 4), "b1": ones(3), "w2": ones(6, 3), "b2": ones(6), "bias": ones(6),
             "mask": ones(2, 6)}  # fmt: skip
    attributes = {"threshold": 0.0, "k": 0}
    for name, value in change.items():
        (feeds if name in feeds else attributes)[name] = value
    attributes = {k: v for k, v in attributes.items() if v is not None}
    with pytest.raises(RUNTIME_ERRORS) as error:
        model = models.model_bytes("SanpChannelGate", dict.fromkeys(models.GATE_INPUTS), ("s", "t"), {}, **attributes)
        models.session(model).run(None, feeds)
    for word in ["SanpChannelGate", *words]:
        assert word in str(error.value)
