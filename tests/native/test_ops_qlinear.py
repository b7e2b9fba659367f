"""The operators on bytes inside ONNX Runtime: against exact sums, against their function bodies, on every set."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.native import op_models as models
from tests.native import qlinear_models as qlinear
from tests.native.test_ops_bad_inputs import RUNTIME_ERRORS

ISAS = models.usable_isas()


def steps_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int))


def assert_within_a_step(got: np.ndarray, exact: np.ndarray, where: object) -> None:
    """Equal or one step apart, and apart only where the exact result lies at the border of two steps."""
    apart = steps_apart(got, exact)
    assert apart.max(initial=0) <= 1, where
    assert (apart > 0).mean() < 0.002 or apart.sum() <= 2, f"{where}: {(apart > 0).mean():.3%} of the bytes differ"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_equals_exact_arithmetic(isa, threads):
    for seed in range(40):
        case = qlinear.random_conv(seed)
        got = case.run(isa=isa, threads=threads)[0]
        exact = qlinear.conv_result(case)
        assert got.dtype == np.uint8 and got.shape == exact.shape
        assert_within_a_step(got, exact, f"seed {seed}: {case.attributes}")


def test_function_equals_exact_arithmetic():
    for seed in range(40):
        case = qlinear.random_conv(seed)
        got = case.run(accelerated=False)[0]
        assert_within_a_step(got, qlinear.conv_result(case), f"seed {seed}")


def test_instruction_sets_agree_bit_for_bit():
    for seed in range(40):
        case = qlinear.random_conv(500 + seed)
        results = [case.run(isa=isa)[0] for isa in ISAS]
        for other in results[1:]:
            np.testing.assert_array_equal(results[0], other, err_msg=f"seed {seed}")


@pytest.mark.parametrize(
    "shape", [(3, 64, 32, 3, 1), (64, 48, 16, 3, 1), (96, 64, 8, 3, 2), (200, 96, 4, 3, 1), (256, 64, 2, 3, 1),
              (64, 40, 9, 1, 2)]
)  # fmt: skip
@pytest.mark.parametrize("isa", ISAS)
def test_layers_of_networks(shape, isa):
    case = qlinear.layer(*shape)
    got = case.run(isa=isa)[0]
    assert_within_a_step(got, qlinear.conv_result(case), shape)
    assert_within_a_step(got, case.run(accelerated=False)[0], shape)


def test_saturation_corners():
    """255 times -127 in every product: no set may saturate inside a sum."""
    case = qlinear.layer(256, 16, 4)
    values = case.values
    values.update(
        x=np.full_like(values["x"], 255), x_zero_point=np.asarray(np.uint8(0)), w=np.full_like(values["w"], -127),
        in_active=np.ones_like(values["in_active"]), w_scale=np.ones_like(values["w_scale"]),
        shift=np.zeros_like(values["shift"]), y_scale=np.asarray(np.float32(1e4)),
        y_zero_point=np.asarray(np.uint8(255)),
    )  # fmt: skip
    case.attributes["act_min"] = -np.inf
    for isa in ISAS:
        np.testing.assert_array_equal(case.run(isa=isa)[0], qlinear.conv_result(case), err_msg=isa)


def test_inactive_channels_are_not_read():
    case = qlinear.layer(40, 24, 9)
    expected = case.run()[0]
    off = np.broadcast_to((case.values["in_active"] == 0)[:, :, None, None], case.values["x"].shape)
    case.values["x"] = np.where(off, np.uint8(211), case.values["x"])
    for isa in ISAS:
        np.testing.assert_array_equal(case.run(isa=isa)[0], expected, err_msg=isa)


def test_weights_and_zero_points_may_be_run_time_inputs():
    for seed in range(10):
        case = qlinear.random_conv(seed)
        expected = case.run()[0]
        free = qlinear.QLinearCase(case.op, case.attributes, case.values, constants={"y_scale"})
        np.testing.assert_array_equal(free.run()[0], expected)


def test_empty_batch_gives_an_empty_result():
    case = qlinear.layer(8, 8, 5)
    shape = case.run()[0].shape
    for name in ("x", "scale", "shift", "in_active"):
        case.values[name] = case.values[name][: 0 if name == "x" else 1]
    assert case.run()[0].shape == (0, *shape[1:])


@pytest.mark.parametrize("isa", ISAS)
def test_gate_equals_its_function(isa):
    for seed in range(40):
        case = qlinear.random_gate(seed)
        # A saliency within rounding of the level may fall on either side; none of these seeds has one.
        got, expected = case.run(isa=isa), case.run(accelerated=False)
        np.testing.assert_array_equal(got[0] != 0, expected[0] != 0, err_msg=f"seed {seed}")
        for a, b in zip(got, expected):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=f"seed {seed}")


def test_gate_is_bit_identical_on_all_instruction_sets():
    for seed in range(40):
        case = qlinear.random_gate(1000 + seed)
        results = [case.run(isa=isa) for isa in ISAS]
        for other in results[1:]:
            for a, b in zip(results[0], other):
                np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32), err_msg=f"seed {seed}")


def test_gate_takes_the_mean_of_the_real_values():
    """Without a hidden layer and with unit weights the scale is the mean, from an exact sum."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2, 3, 9, 7)).astype(np.uint8)
    unit = {"w1": np.zeros(1), "b1": np.zeros(1), "w2": np.eye(3), "b2": np.zeros(3), "bias": np.ones(3)}
    values = {"x": x, "x_scale": np.asarray(np.float32(0.02)), "x_zero_point": np.asarray(np.uint8(100)),
              **{k: v.astype(np.float32) for k, v in unit.items()}, "mask": np.ones((1, 3), np.float32)}  # fmt: skip
    case = qlinear.QLinearCase("SanpQLinearChannelGate", {"threshold": 0.0, "k": 0}, values, ("scale", "shift"))
    mean = np.maximum((x.astype(np.float64) - 100).mean((2, 3)) * np.float32(0.02), 0)
    for accelerated in (True, False):
        np.testing.assert_allclose(case.run(accelerated=accelerated)[0], mean, rtol=1e-6)


def test_the_kernel_is_used_and_not_the_function():
    case = qlinear.layer(8, 8, 5)
    model = onnx.load_from_string(case.model())
    node = next(node for node in model.functions[0].node if node.op_type == "Clip")
    node.CopyFrom(helper.make_node("Neg", [node.input[0]], list(node.output)))
    feeds = {name: value for name, value in case.values.items() if name not in case.constants}
    got = models.session(model.SerializeToString()).run(None, feeds)[0]
    np.testing.assert_array_equal(got, case.run()[0])


def test_shape_inference_knows_type_and_size():
    case = qlinear.layer(8, 16, 5)
    model = onnx.load_from_string(case.model(function=False))
    model.graph.input[0].type.tensor_type.shape.CopyFrom(
        helper.make_tensor_value_info("x", 2, ["N", 8, 5, 5]).type.tensor_type.shape
    )
    output = models.session(model.SerializeToString()).get_outputs()[0]
    assert output.shape == ["N", 16, 5, 5] and output.type == "tensor(uint8)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.ones((2, 8, 5), np.uint8)}, ["'x'", "4 dimensions"]),
        ({"w": np.ones((16, 7, 3, 3), np.int8)}, ["'w'", "8 channels"]),
        ({"w": np.full((16, 8, 3, 3), -128, np.int8)}, ["'w'", "-128", "symmetrically"]),
        ({"w_scale": np.ones(15, np.float32)}, ["'w_scale'", "[16]"]),
        ({"x_scale": np.ones(8, np.float32)}, ["'x_scale'", "one element"]),
        ({"y_zero_point": np.ones(2, np.uint8)}, ["'y_zero_point'", "one element"]),
        ({"y_scale": np.asarray(np.float32(0))}, ["'y_scale'", "positive"]),
        ({"x_scale": np.asarray(np.float32(np.nan))}, ["'x_scale'", "positive"]),
        ({"scale": np.ones((2, 15), np.float32)}, ["'scale'", "[2, 16]"]),
        ({"residual": np.ones((2, 16, 5, 4), np.uint8)}, ["'residual'", "one element"]),
    ],
)
def test_wrong_inputs_are_explained(change, words):
    case = qlinear.layer(8, 16, 5)
    case.values.update(change)
    with pytest.raises(RUNTIME_ERRORS) as error:
        feeds = {name: value for name, value in case.values.items() if name not in case.constants}
        models.session(case.model(function=False)).run(None, feeds)
    for word in ["SanpGatedQLinearConv", *words]:
        assert word in str(error.value)


def test_a_sum_that_may_leave_32_bits_is_refused():
    case = qlinear.layer(8, 1, 5, kernel=1)
    big = 70000
    case.values.update(x=np.zeros((1, big, 1, 1), np.uint8), w=np.ones((1, big, 1, 1), np.int8),
                       in_active=np.ones((1, big), np.float32), scale=np.ones((1, 1), np.float32),
                       shift=np.zeros((1, 1), np.float32))  # fmt: skip
    with pytest.raises(RUNTIME_ERRORS, match="32 bits"):
        case.run()


def test_wrong_gate_inputs_are_explained():
    case = qlinear.random_gate(0)
    case.values["x_scale"] = np.asarray(np.float32(-1))
    with pytest.raises(RUNTIME_ERRORS, match="'x_scale'"):
        case.run()
