"""Plans of the CUDA convolution: checks, limits, workspace, and which kernel a shape gets."""

from __future__ import annotations

from ctypes import byref

import numpy as np
import pytest

from benchmarks.gpu.cuda_library import (
    BAD_ARGUMENT,
    BAD_PLAN,
    FLOAT16,
    FLOAT32,
    HOPPER,
    ORIN,
    XAVIER,
    ConvTensors,
    CudaLibrary,
    Device,
    Plan,
    describe,
)
from tests.native.cuda_cases import make_case, random_conv
from tests.native.cuda_emulated import build_emulated
from tests.native.cuda_memory import HostMemory


@pytest.fixture(scope="module")
def library() -> CudaLibrary:
    return build_emulated()


def status(library, conv, device=ORIN):
    return library.handle.sanp_cuda_conv_plan(byref(conv), byref(device), byref(Plan()))


@pytest.mark.parametrize(
    "change",
    [
        {"type": 2}, {"type": -1}, {"weight_order": 2}, {"batch": -1}, {"batch": 1 << 20}, {"c_in": 0},
        {"c_in": 1 << 16}, {"c_out": 0}, {"group": 0}, {"group": 3}, {"height": 0}, {"out_width": 0}, {"kernel_h": 0},
        {"kernel_w": 1 << 13}, {"stride_h": 0}, {"dilation_w": 0}, {"pad_top": -1}, {"pad_left": 1 << 30},
        {"dilation_h": 1 << 30}, {"height": 1 << 16, "width": 1 << 16}, {"out_height": 1 << 16, "out_width": 1 << 16},
        {"scale_rows": 3}, {"shift_rows": 0}, {"active_rows": 2}, {"residual_dense": 2},
        {"act_min": 1.0, "act_max": 0.0}, {"act_min": float("nan")}, {"c_in": 1 << 15, "c_out": 1 << 15},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_that_contradict_themselves(library, change):
    conv = describe(8, 16, 10)
    assert status(library, conv) == 0
    for name, value in change.items():
        setattr(conv, name, value)
    assert status(library, conv) == BAD_ARGUMENT
    assert library.handle.sanp_cuda_conv(byref(conv), byref(Plan()), byref(ConvTensors()), None, None) == BAD_ARGUMENT


def test_a_plan_belongs_to_its_shape(library):
    conv, other = describe(8, 16, 10), describe(8, 16, 11)
    plan = library.plan(conv, ORIN)
    tensors = ConvTensors(*[256] * 7)
    run = library.handle.sanp_cuda_conv
    assert run(byref(other), byref(plan), byref(tensors), None, None) == BAD_PLAN
    old = Plan.from_buffer_copy(plan)
    old.version += 1
    assert run(byref(conv), byref(old), byref(tensors), None, None) == BAD_PLAN
    assert run(byref(conv), byref(plan), byref(ConvTensors()), None, None) == BAD_ARGUMENT
    assert library.handle.sanp_cuda_conv_workspace(byref(other), byref(plan)) == 0
    # The clamp is no part of the plan.
    conv.act_max = 6.0
    case = make_case(np.random.default_rng(0), conv)
    case.check(case.run(library, HostMemory(), plan), "another clamp")


def test_nothing_to_do(library):
    conv = describe(8, 16, 10, batch=0)
    plan = library.plan(conv, ORIN)
    assert library.handle.sanp_cuda_conv(byref(conv), byref(plan), byref(ConvTensors()), None, None) == 0


def test_unaligned_vectors_are_refused(library):
    conv = describe(16, 16, 4, kernel=1, type=FLOAT16)
    plan = next(p for p in library.candidates(conv, ORIN) if library.algorithm(p) == "pointwise8")
    tensors = ConvTensors(*[256] * 7)
    tensors.x = 258
    assert library.handle.sanp_cuda_conv(byref(conv), byref(plan), byref(tensors), 256, None) == BAD_ARGUMENT


@pytest.mark.parametrize("device", [ORIN, HOPPER, XAVIER], ids=["orin", "hopper", "xavier"])
def test_workspace_never_grows_with_a_smaller_batch(library, device):
    """A runtime allocates for its largest batch and plans again for smaller ones."""
    for size, channels in ((7, 512), (14, 256), (4, 512), (28, 128)):
        for element in (FLOAT32, FLOAT16):
            sizes = []
            for batch in (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64):
                conv = describe(channels, channels, size, type=element, batch=batch)
                plan = library.plan(conv, device)
                sizes.append(library.handle.sanp_cuda_conv_workspace(byref(conv), byref(plan)))
                assert sizes[-1] % 256 == 0
                needed = 4 * plan.split_k * batch * channels * size * size if plan.split_k > 1 else 0
                assert sizes[-1] >= needed
            assert sizes == sorted(sizes)


def test_which_kernel_a_layer_gets(library):
    def algorithm(device, *shape, **fields):
        return library.algorithm(library.plan(describe(*shape, type=FLOAT16, **fields), device))

    assert algorithm(ORIN, 256, 256, 14, batch=8) == "packed4"
    assert algorithm(ORIN, 512, 512, 7, batch=8) == "packed1"
    assert algorithm(ORIN, 256, 64, 56, kernel=1) == "pointwise8"
    assert algorithm(ORIN, 1024, 256, 14, kernel=1) == "pointwise4"
    assert algorithm(ORIN, 2048, 512, 7, kernel=1) == "gather"
    assert algorithm(ORIN, 3, 64, 224, kernel=7, stride=2) == "gather"
    assert algorithm(ORIN, 96, 96, 56, group=96) == "direct"
    assert algorithm(XAVIER, 256, 256, 14) == "simt"


def test_small_maps_fill_the_device(library):
    """Batch 1 at 7 x 7 has 8 tiles; slices bring enough blocks for every multiprocessor."""
    for device in (ORIN, HOPPER):
        plan = library.plan(describe(512, 512, 7, type=FLOAT16), device)
        assert np.prod(list(plan.grid)) >= device.sm_count


@pytest.mark.parametrize("seed", range(40))
def test_plans_respect_the_device(library, seed):
    rng = np.random.default_rng(seed)
    conv = random_conv(rng, int(rng.choice([FLOAT16, FLOAT32])))
    for device in (ORIN, XAVIER, Device(7, 5, 40, 64 * 1024), Device(12, 0, 84, 99 * 1024)):
        for plan in library.candidates(conv, device):
            assert plan.shared_bytes <= device.shared_bytes
            assert max(plan.grid[1:]) <= 65535
            assert plan.threads % 32 == 0
            if device.sm_major < 8:
                assert library.algorithm(plan) in ("simt", "direct")


def test_texts(library):
    text = library.handle.sanp_cuda_message
    assert b"contradicts" in text(BAD_ARGUMENT)
    assert b"plan again" in text(BAD_PLAN)
    assert text(0) == b"no error"
    assert library.handle.sanp_cuda_algorithm_name(99) == b"unknown"


def test_the_current_device(library):
    set_device = library.handle.sanp_emulator_device
    try:
        set_device(byref(HOPPER))
        assert library.device().sm_count == 132
        set_device(byref(Device()))
        assert library.handle.sanp_cuda_device(byref(Device())) > 0
    finally:
        set_device(byref(ORIN))
    assert library.handle.sanp_cuda_conv_plan(byref(describe(1, 1, 1)), byref(Device()), byref(Plan())) == BAD_ARGUMENT
    assert library.handle.sanp_cuda_device(None) == BAD_ARGUMENT
