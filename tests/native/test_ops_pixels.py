"""The convolution with gated pixels: the kernel against its function body and both against float64 PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sanp_export.functions import pixel_gated_conv_function
from tests.native import op_models as models
from tests.native.test_ops_bad_inputs import RUNTIME_ERRORS

ISAS = models.usable_isas()
INPUTS = ("x", "w", "w_base", "bound", "scale", "shift")


@dataclass
class PixelCase:
    """A random layer; w_base is the block diagonal of w."""

    attributes: dict
    feeds: dict
    constant: tuple = INPUTS[1:]

    def model(self) -> bytes:
        shapes = dict.fromkeys(INPUTS)
        shapes["x"] = ["N", *self.feeds["x"].shape[1:]]
        constants = {name: self.feeds[name] for name in self.constant}
        function = pixel_gated_conv_function()
        return models.model_bytes("SanpPixelGatedConv", shapes, ("y",), constants, function, **self.attributes)

    def run(self, **session) -> np.ndarray:
        feeds = {name: value for name, value in self.feeds.items() if name not in self.constant}
        return models.session(self.model(), **session).run(None, feeds)[0]

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """The result in float64, and whether a pixel's decision is clear of rounding."""
        values = {name: torch.from_numpy(value).double() for name, value in self.feeds.items()}
        top, left, bottom, right = self.attributes["pads"]
        x = F.pad(values["x"], (left, right, top, bottom))
        geometry = {"stride": self.attributes["strides"], "dilation": self.attributes["dilations"]}
        base = F.conv2d(x, values["w_base"], groups=self.attributes["parts"], **geometry)
        whole = F.conv2d(x, values["w"], **geometry)
        bound, scale, shift = (values[name][:, None, None] for name in ("bound", "scale", "shift"))
        y = torch.where(base > bound, whole, base) * scale + shift
        return y.numpy(), ((base - bound).abs() > 1e-4 * (1 + base.abs().max())).numpy()


def random_case(seed: int, openness: float | None = None) -> PixelCase:
    rng = np.random.default_rng(seed)
    parts = int(rng.choice([1, 2, 3, 4]))
    ci, co = parts * int(rng.integers(1, 12)), parts * int(rng.integers(1, 9))
    while True:
        kernel, strides, dilations = rng.choice([1, 2, 3, 5], 2), rng.choice([1, 1, 2, 3], 2), rng.choice([1, 1, 2], 2)
        pads, size = rng.integers(0, 4, 4), rng.integers(1, 24, 2)
        if (size + pads[:2] + pads[2:] >= dilations * (kernel - 1) + 1).all():
            break

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    w = normal(co, ci, *map(int, kernel)) / np.float32(np.sqrt(ci * kernel.prod() / parts))
    a, b = co // parts, ci // parts
    w_base = np.concatenate([w[g * a : (g + 1) * a, g * b : (g + 1) * b] for g in range(parts)])
    bound = normal(co) if openness is None else np.full(co, openness, np.float32)
    feeds = {"x": normal(int(rng.integers(1, 4)), ci, *map(int, size)), "w": w, "w_base": np.ascontiguousarray(w_base),
             "bound": bound, "scale": normal(co), "shift": normal(co)}  # fmt: skip
    attributes = {"strides": strides.tolist(), "pads": pads.tolist(), "dilations": dilations.tolist(), "parts": parts}
    return PixelCase(attributes, feeds)


def assert_right(case: PixelCase, got: np.ndarray, where: object) -> None:
    expected, clear = case.expected()
    assert got.shape == expected.shape
    assert clear.mean() > 0.9
    tolerance = 3e-5 * (1 + np.abs(expected).max())
    np.testing.assert_allclose(
        got[clear], expected[clear], rtol=0, atol=tolerance, err_msg=f"{where}: {case.attributes}"
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_equals_its_definition(isa, threads):
    for seed in range(60):
        case = random_case(seed)
        assert_right(case, case.run(isa=isa, threads=threads), f"seed {seed}")


def test_function_equals_its_definition():
    for seed in range(30):
        case = random_case(seed)
        assert_right(case, case.run(accelerated=False), f"seed {seed}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bound", [-np.inf, np.inf])
def test_all_open_and_all_closed(isa, bound):
    for seed in range(10):
        case = random_case(seed, bound)
        expected = case.expected()[0]
        got = case.run(isa=isa)
        np.testing.assert_allclose(got, expected, rtol=0, atol=3e-5 * (1 + np.abs(expected).max()), err_msg=str(seed))


def test_closed_pixels_read_nothing_but_the_short_path():
    """Whole weights of NaN must not show where every pixel is closed; an open pixel shows them."""
    case = random_case(3, np.inf)
    case.feeds["w"] = np.full_like(case.feeds["w"], np.nan)
    assert np.isfinite(case.run()).all()
    case.feeds["bound"][0] = -np.inf
    got = case.run()
    assert np.isnan(got[:, 0]).all() and np.isfinite(got[:, 1:]).all()


def test_threads_and_batches_change_no_bit():
    rng = np.random.default_rng(0)
    case = random_case(5)
    case.attributes.update(strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1], parts=4)
    case.feeds.update(
        x=rng.standard_normal((6, 32, 16, 16)).astype(np.float32), bound=np.zeros(48, np.float32),
        w=rng.standard_normal((48, 32, 3, 3)).astype(np.float32), scale=np.ones(48, np.float32),
        shift=np.zeros(48, np.float32),
    )  # fmt: skip
    w = case.feeds["w"]
    case.feeds["w_base"] = np.concatenate([w[g * 12 : g * 12 + 12, g * 8 : g * 8 + 8] for g in range(4)])
    whole = case.run(threads=1)
    np.testing.assert_array_equal(case.run(threads=2), whole)
    case.feeds["x"] = case.feeds["x"][2:3]
    np.testing.assert_array_equal(case.run(threads=2), whole[2:3])
    case.feeds["x"] = case.feeds["x"][:0]
    assert case.run().shape == (0, *whole.shape[1:])


def test_weights_may_be_run_time_inputs_and_sizes_may_change():
    case = random_case(7)
    case.constant = ()
    assert_right(case, case.run(), "weights as inputs")
    shapes = dict.fromkeys(INPUTS)
    constants = {name: case.feeds[name] for name in INPUTS[1:]}
    free = models.session(models.model_bytes("SanpPixelGatedConv", shapes, ("y",), constants, **case.attributes))
    ci = case.feeds["x"].shape[1]
    for size in (24, 30, 24, 27):
        case.feeds["x"] = np.random.default_rng(size).standard_normal((2, ci, size, size)).astype(np.float32)
        assert_right(case, free.run(None, {"x": case.feeds["x"]})[0], size)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parts": 3}, ["parts = 3", "does not divide"]),
        ({"parts": 0}, ["'parts'", "at least 1"]),
        ({"parts": None}, ["'parts'", "missing"]),
        ({"strides": [0, 1]}, ["'strides'", "at least 1"]),
        ({"pads": [0, 0, -1, 0]}, ["'pads'", "0 or more"]),
        ({"w_base": (4, 4, 3, 3)}, ["'w_base'", "[4, 2, 3, 3]"]),
        ({"w": (4, 3, 3, 3)}, ["'w'", "4 channels"]),
        ({"bound": (5,)}, ["'bound'", "[4]"]),
        ({"scale": (1, 4)}, ["'scale'", "[4]"]),
        ({"x": (1, 4, 2, 2)}, ["does not fit"]),
        ({"x": (1, 4, 9)}, ["'x'", "4 dimensions"]),
    ],
)
def test_wrong_inputs_are_explained(change, words):
    shapes = {"x": (1, 4, 9, 9), "w": (4, 4, 3, 3), "w_base": (4, 2, 3, 3), "bound": (4,), "scale": (4,), "shift": (4,)}
    attributes = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "parts": 2}
    for name, value in change.items():
        (shapes if name in shapes else attributes)[name] = value
    attributes = {name: value for name, value in attributes.items() if value is not None}
    with pytest.raises(RUNTIME_ERRORS) as error:
        model = models.model_bytes("SanpPixelGatedConv", dict.fromkeys(INPUTS), ("y",), {}, **attributes)
        models.session(model).run(None, {name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    for word in ["SanpPixelGatedConv", *words]:
        assert word in str(error.value)
