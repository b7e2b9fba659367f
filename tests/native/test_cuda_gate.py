"""The CUDA channel gate, run by the CPU emulator: bit for bit the promised order of sums, and the CPU kernel."""

from __future__ import annotations

from ctypes import byref

import numpy as np
import pytest

from benchmarks.gpu.cuda_library import BAD_ARGUMENT, FLOAT16, FLOAT32, CudaLibrary, Gate, GateTensors
from tests.native import op_models
from tests.native.cuda_emulated import build_emulated
from tests.native.cuda_gate_cases import GateCase, random_gate
from tests.native.cuda_memory import HostMemory

pytestmark = pytest.mark.slow

MEMORY = HostMemory()


@pytest.fixture(scope="module")
def library() -> CudaLibrary:
    return build_emulated()


def check(library: CudaLibrary, case: GateCase, where: object) -> None:
    for name, got, expected in zip(("scale", "shift"), case.run(library, MEMORY), case.expected(), strict=True):
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32), f"{name}, {where}")


@pytest.mark.parametrize("element", [FLOAT32, FLOAT16])
@pytest.mark.parametrize("seed", range(10))
def test_random_gates(library, element, seed):
    rng = np.random.default_rng([seed, element])
    check(library, random_gate(rng, element, k=int(rng.choice([0, 1, 5, 60]))), f"seed {seed}")


def test_long_sums(library):
    """More pixels and channels than are fetched ahead, and not a multiple of it."""
    check(library, random_gate(np.random.default_rng(1), FLOAT32, height=37, width=23, c_in=300, hidden=290), "long")


@pytest.mark.parametrize(
    ("launches", "sizes"),
    [
        (1, {"c_in": 70, "height": 7, "width": 7, "hidden": 9, "c_out": 130, "k": 60}),  # four rows of a half warp
        (1, {"c_in": 66, "height": 14, "width": 14, "hidden": 0, "c_out": 70}),
        (1, {"c_in": 15, "height": 29, "width": 28, "hidden": 5, "c_out": 600}),
        (1, {"c_in": 300, "height": 2, "width": 3, "hidden": 70, "c_out": 290, "k": 90}),  # more than is fetched ahead
        (2, {"c_in": 65, "height": 29, "width": 28, "hidden": 5, "c_out": 40}),  # the map of a sample is large
        (2, {"c_in": 129, "height": 16, "width": 16, "hidden": 8, "c_out": 70}),
        (2, {"c_in": 3, "height": 150, "width": 151, "hidden": 4, "c_out": 20, "k": 5}),  # each channel is
        (3, {"c_in": 330, "height": 2, "width": 3, "hidden": 0, "c_out": 310}),  # the weights are
        (3, {"c_in": 300, "height": 2, "width": 3, "hidden": 330, "c_out": 40}),
        (4, {"c_in": 300, "height": 2, "width": 3, "hidden": 330, "c_out": 40, "k": 7}),
    ],
)
def test_every_number_of_launches(library, launches, sizes):
    """A sample that one block does needs one launch; the results are the same bits."""
    for element in (FLOAT32, FLOAT16):
        fixed = {"k": 0} | sizes
        case = random_gate(np.random.default_rng(11), element, batch=2, **fixed)
        library.handle.sanp_emulator_launches()
        check(library, case, f"{launches} launches")
        steps = launches - (launches == 3 and fixed["hidden"] == 0)
        assert library.handle.sanp_emulator_launches() == steps


def test_ties_close(library):
    case = random_gate(np.random.default_rng(2), FLOAT32, batch=2, c_out=40, k=7)
    case.arrays["w2"][:], case.arrays["b2"][:] = 0, np.repeat([3.0, 2.0, 1.0, 0.0], [6, 3, 21, 10])
    case.arrays["mask"][:] = 1
    scale, _ = case.run(library, MEMORY)
    assert (scale != 0).sum(1).tolist() == [6, 6]
    check(library, case, "ties")


def test_a_broken_input_shows(library):
    case = random_gate(np.random.default_rng(3), FLOAT32, batch=2, c_out=9)
    case.arrays["x"][1, 0, 0, 0] = np.nan
    scale, _ = case.run(library, MEMORY)
    assert np.isnan(scale[1]).all()
    assert not np.isnan(scale[0]).any()


@pytest.mark.parametrize("seed", range(6))
def test_same_decisions_as_the_cpu_kernel(library, seed):
    """The two libraries share no code, and agree in every bit."""
    case = op_models.random_gate(np.random.default_rng(seed))
    expected = op_models.session(case.model()).run(None, case.feeds)
    x, mask = case.feeds["x"], case.feeds["mask"]
    hidden = len(case.constants["w1"]) if case.constants["w1"].ndim == 2 else 0
    gate = Gate(FLOAT32, *x.shape, hidden, len(case.constants["b2"]), len(mask))
    gate.k, gate.threshold = case.attributes["k"], case.attributes["threshold"]
    gate.has_offset = case.constants["bias"].ndim == 2
    got = GateCase(gate, case.constants | case.feeds).run(library, MEMORY)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32), f"seed {seed}")


def test_the_order_of_threads_does_not_matter(library):
    case = random_gate(np.random.default_rng(4), FLOAT32, k=3)
    try:
        for order in (1, 7):
            library.handle.sanp_emulator_order(order)
            check(library, case, f"order {order}")
    finally:
        library.handle.sanp_emulator_order(0)


def test_bad_descriptions(library):
    good = {"type": 0, "batch": 2, "c_in": 3, "height": 4, "width": 4, "hidden": 2, "c_out": 5, "mask_rows": 1}
    bad = ("type=2", "batch=-1", "c_in=0", "height=0", "hidden=-1", "has_offset=2", "c_out=-5", "mask_rows=3", "k=-1")
    pointers = GateTensors(*[16] * len(GateTensors._fields_))
    for change in bad:
        name, value = change.split("=")
        gate = Gate(**(good | {name: int(value)}))
        assert library.handle.sanp_cuda_gate(byref(gate), byref(pointers), 16, None) == BAD_ARGUMENT, change
        assert library.handle.sanp_cuda_gate_workspace(byref(gate)) == 0, change
    assert library.handle.sanp_cuda_gate(byref(Gate(**good)), byref(GateTensors()), 16, None) == BAD_ARGUMENT
    assert library.handle.sanp_cuda_gate(byref(Gate(**(good | {"batch": 0}))), byref(pointers), 16, None) == 0
