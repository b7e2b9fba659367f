"""The CUDA convolution kernels on a GPU: the cases of the emulator, larger layers, and PyTorch as a second oracle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32, describe
from tests.native.cuda_cases import MASKS, make_case, random_conv

TYPES = {"float32": FLOAT32, "float16": FLOAT16}


def check_all(library, memory, case, where):
    for plan in library.candidates(case.conv, library.device()):
        case.check(case.run(library, memory, plan), f"{where}, {library.describe(plan)}")


@pytest.mark.parametrize("element", TYPES)
@pytest.mark.parametrize("seed", range(60))
def test_random_shapes(library, memory, element, seed):
    rng = np.random.default_rng([seed, TYPES[element]])
    case = make_case(rng, random_conv(rng, TYPES[element]), *rng.choice(MASKS, 2))
    check_all(library, memory, case, f"seed {seed}")


LAYERS = {
    "64-64 3x3 @56": describe(64, 64, 56),
    "64-128 3x3/2 @56": describe(64, 128, 56, stride=2),
    "256-256 3x3 @14, batch 3": describe(256, 256, 14, batch=3, scale_rows=3, active_rows=3),
    "512-512 3x3 @7": describe(512, 512, 7),
    "3-64 7x7/2 @112": describe(3, 64, 112, kernel=7, stride=2, pad=3),
    "256-64 1x1 @56": describe(256, 64, 56, kernel=1),
    "1024-256 1x1 @14": describe(1024, 256, 14, kernel=1),
    "2048-512 1x1 @7": describe(2048, 512, 7, kernel=1),
    "144-144 3x3 depthwise @28": describe(144, 144, 28, group=144),
}


@pytest.mark.parametrize("element", TYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(library, memory, element, name):
    conv = LAYERS[name]
    conv.type, conv.residual_dense, conv.act_min = TYPES[element], 1, -math.inf
    for outputs, inputs in (("all", "all"), ("half", "half"), ("one", "last")):
        check_all(library, memory, make_case(np.random.default_rng(1), conv, outputs, inputs), name)


@pytest.mark.parametrize("element", TYPES)
def test_masks(library, memory, element):
    for kernel, (outputs, inputs) in itertools.product((1, 3), itertools.product(MASKS, MASKS)):
        conv = describe(72, 80, 12, kernel=kernel, batch=2, scale_rows=2, active_rows=2, type=TYPES[element])
        case = make_case(np.random.default_rng(5), conv, outputs, inputs)
        check_all(library, memory, case, f"{outputs} of the outputs, {inputs} of the inputs")


def test_pytorch_agrees_with_the_reference(library, memory):
    """The float64 reference of these tests against cuDNN, so that a mistake in it would show."""
    conv = describe(32, 48, 13, stride=2, dilation=2, pad=2, group=2, type=FLOAT32, weight_order=0, act_min=-math.inf)
    case = make_case(np.random.default_rng(2), conv, "all", "all")
    x, w = (torch.from_numpy(case.arrays[name]).double().cuda() for name in ("x", "w"))
    y = torch.nn.functional.conv2d(x, w, stride=2, padding=2, dilation=2, groups=2)
    rows = [torch.from_numpy(case.arrays[name]).double().cuda()[0, :, None, None] for name in ("scale", "shift")]
    y = rows[0] * y + rows[1] + float(case.arrays["residual"][0])
    np.testing.assert_allclose(y.cpu().numpy(), case.expected, rtol=1e-12, atol=1e-11)


def test_the_same_bits_every_time(library, memory):
    """No result may depend on the order in which blocks happen to run."""
    for element in TYPES.values():
        conv = describe(256, 256, 14, type=element, batch=2, scale_rows=2, active_rows=2)
        case = make_case(np.random.default_rng(3), conv)
        for plan in library.candidates(conv, library.device()):
            results = {case.run(library, memory, plan).tobytes() for _ in range(5)}
            assert len(results) == 1, library.describe(plan)


def test_gates_of_any_value(library, memory):
    """What a builder passes while it times plugins: bit patterns of no meaning. No access may be out of bounds."""
    rng = np.random.default_rng(4)
    conv = describe(128, 128, 14, type=FLOAT16)
    for _ in range(5):
        case = make_case(rng, conv, "all", "all")
        for name in ("scale", "shift", "in_active"):
            noise = rng.integers(0, 1 << 32, case.arrays[name].shape, np.uint32)
            case.arrays[name][:] = noise.view(np.float32)
        for plan in library.candidates(conv, library.device()):
            case.run(library, memory, plan)
