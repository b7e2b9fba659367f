"""SanpInvertedResidual in ONNX Runtime against its function body: odd shapes, sizes that change, bad inputs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sanp_export.functions import inverted_residual_function
from tests.native import op_models as models

INPUTS = ("x", "w_expand", "scale", "shift", "in_active", "w_depthwise", "bias", "w_project", "scale_project",
          "shift_project", "residual")  # fmt: skip
WEIGHTS = ("w_expand", "w_depthwise", "bias", "w_project")
ATTRIBUTES = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "expand_min": 0.0, "expand_max": 6.0,
              "depthwise_min": 0.0, "depthwise_max": 6.0, "act_min": -4.0, "act_max": 4.0}  # fmt: skip


def ones(*shape):
    return np.ones(shape, np.float32)


def inputs_of(rng, n=2, c_in=5, wide=19, c_out=7, size=(6, 9), kernel=(3, 3), keep=0.5):
    """Inputs of one node whose promises are kept: closed channels have no shift, and no input without in_active."""
    scale = (rng.random((n, wide)) + 0.5) * (rng.random((n, wide)) < keep)
    active = (rng.random((n, c_in)) < 0.8).astype("f")
    values = dict(zip(INPUTS, (
        rng.standard_normal((n, c_in, *size)) * active[:, :, None, None], rng.standard_normal((wide, c_in, 1, 1)),
        scale, scale * rng.standard_normal(wide), active, rng.standard_normal((wide, 1, *kernel)),
        rng.standard_normal(wide), rng.standard_normal((c_out, wide, 1, 1)) / 4, rng.random((1, c_out)),
        rng.standard_normal((1, c_out)), np.zeros(1),
    )))  # fmt: skip
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def model_of(values, constant=WEIGHTS, **attributes):
    """The node with its function body; group is that of the weights unless it is given."""
    constants = {name: values[name] for name in constant}
    attributes = {"group": len(values["bias"]), **ATTRIBUTES, **attributes}
    kept = {name: value for name, value in attributes.items() if value is not None}
    body = inverted_residual_function()
    return models.model_bytes("SanpInvertedResidual", dict.fromkeys(INPUTS), ("y",), constants, body, **kept)


def feeds_of(values, constant=WEIGHTS):
    return {name: value for name, value in values.items() if name not in constant}


def require_close(model, feeds, **options):
    expected = models.session(model, accelerated=False).run(None, feeds)[0]
    found = models.session(model, **options).run(None, feeds)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa", models.usable_isas())
@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ({}, {}),
        ({"n": 5}, {}),  # samples side by side
        ({"keep": 0.0}, {}),
        ({"keep": 1.0, "wide": 32}, {"strides": [2, 2]}),
        ({"kernel": (1, 1)}, {"strides": [3, 4], "pads": [0] * 4}),  # rows that no output reads
        ({"kernel": (3, 2)}, {"pads": [5, 7, 6, 4]}),  # outputs that see no pixel
        ({"kernel": (5, 3)}, {"pads": [0, 2, 9, 0], "dilations": [1, 3], "strides": [2, 1]}),
        ({"size": (1, 1), "c_in": 1, "c_out": 1, "wide": 1}, {}),
        ({"size": (2, 3000)}, {"strides": [1, 2]}),
        ({"size": (1, 150_000), "n": 1, "c_in": 1}, {}),  # columns times parts of a row exceed 32 bits
        ({"size": (400, 70)}, {"strides": [3, 1]}),  # strips
    ],
)
def test_odd_shapes(isa, shape, attributes):
    values = inputs_of(np.random.default_rng(1), **shape)
    require_close(model_of(values, **attributes), feeds_of(values), isa=isa, threads=2)


def test_weights_that_are_no_constants():
    """Weights of one call must not stay for the next."""
    first, second = (inputs_of(np.random.default_rng(seed)) for seed in range(2))
    model = model_of(first, constant=())
    fused, body = models.session(model), models.session(model, accelerated=False)
    for values in (first, second):
        np.testing.assert_allclose(fused.run(None, values)[0], body.run(None, values)[0], rtol=1e-4, atol=1e-4)


def test_sizes_that_change_while_others_run():
    """One session, four threads, each with images of its own size: nobody gets the plan of another."""
    rng = np.random.default_rng(3)
    values = inputs_of(rng)
    model, sizes = model_of(values), [(6, 9), (9, 6), (33, 20), (70, 70)]
    images = [rng.standard_normal((2, 5, *size)).astype("f") for size in sizes]
    feeds = [{**feeds_of(values), "x": x, "in_active": ones(1, 5)} for x in images]
    body = models.session(model, accelerated=False)
    expected, fused, wrong = [body.run(None, feed)[0] for feed in feeds], models.session(model), []

    def call(index):
        for _ in range(40):
            if not np.allclose(fused.run(None, feeds[index])[0], expected[index], rtol=1e-4, atol=1e-4):
                wrong.append(sizes[index])

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": ones(5, 6, 9)}, ["'x'", "4 dimensions"]),
        ({"x": ones(2, 4, 6, 9)}, ["'w_expand'", "[19, 5, 1, 1]", "[19, 4, 1, 1]"]),
        ({"w_expand": ones(19, 5, 3, 3)}, ["'w_expand'", "[19, 5, 1, 1]"]),
        ({"w_depthwise": ones(19, 2, 3, 3)}, ["'w_depthwise'", "[19, 1, 3, 3]"]),
        ({"w_depthwise": ones(19, 1, 9, 3)}, ["9 x 3", "does not fit"]),
        ({"w_project": ones(7, 18, 1, 1)}, ["'w_project'", "[7, 19, 1, 1]"]),
        ({"bias": ones(18)}, ["'bias'", "[19]"]),
        ({"scale": ones(2, 18)}, ["'scale'", "[2, 19]"]),
        ({"shift": ones(3, 19)}, ["'shift'", "[3, 19]"]),
        ({"in_active": ones(2, 19)}, ["'in_active'", "[2, 5]"]),
        ({"scale_project": ones(2, 6)}, ["'scale_project'", "[2, 7]"]),
        ({"shift_project": ones(3, 7)}, ["'shift_project'", "[3, 7]"]),
        ({"residual": ones(2, 7, 6, 8)}, ["'residual'", "[2, 7, 6, 9]"]),
    ],
)
def test_wrong_input_is_explained(change, words):
    values = inputs_of(np.random.default_rng(4))
    model = model_of(values, constant=(), group=19)
    with pytest.raises(Exception, match="SanpInvertedResidual") as error:
        models.session(model).run(None, {**values, **change})
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"group": 18}, ["'group' is 18", "19 channels"]),
        ({"strides": [0, 1]}, ["'strides'", "at least 1"]),
        ({"pads": [0, 0]}, ["'pads'", "expected 4"]),
        ({"dilations": None}, ["'dilations'", "missing"]),
        ({"expand_min": 0.5}, ["'expand_min'", "0.5", "with 0 between"]),
        ({"depthwise_max": -0.5}, ["'depthwise_max'", "-0.5", "0 between"]),
        ({"expand_max": float("nan")}, ["'expand_max'", "NaN"]),
        ({"act_max": -5.0}, ["'act_max'", "-5"]),
        ({"act_min": None}, ["'act_min'", "missing"]),
    ],
)
def test_wrong_attribute_is_explained(change, words):
    values = inputs_of(np.random.default_rng(5))
    with pytest.raises(Exception, match="SanpInvertedResidual") as error:
        models.session(model_of(values, constant=(), **change)).run(None, values)
    for word in words:
        assert word in str(error.value)
