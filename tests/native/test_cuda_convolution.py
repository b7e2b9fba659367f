"""The CUDA convolution kernels, run by the CPU emulator, against float64: every plan of every shape."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32, HOPPER, HWIO, OIHW, ORIN, CudaLibrary, describe
from tests.native.cuda_cases import MASKS, make_case, random_conv
from tests.native.cuda_emulated import build_emulated
from tests.native.cuda_memory import PAGE, HostMemory, PagedMemory

pytestmark = pytest.mark.slow

TYPES = {"float32": FLOAT32, "float16": FLOAT16}
MEMORY = HostMemory()


@pytest.fixture(scope="module")
def library() -> CudaLibrary:
    return build_emulated()


def check_plans(library, case, where, plans=None):
    """Every plan against the reference, each with another order of threads and blocks."""
    for order, plan in enumerate(library.candidates(case.conv, ORIN) if plans is None else plans):
        library.handle.sanp_emulator_order(order)
        y = case.run(library, HostMemory(at_start=order % 2 == 1), plan)
        case.check(y, f"{where}, {library.describe(plan)}, order {order}")


def one_of_each_kernel(library, conv, device=ORIN):
    """Every algorithm and tile once, with and without slices."""
    plans = {}
    for plan in library.candidates(conv, device):
        plans.setdefault((plan.algorithm, plan.tile_m, plan.tile_n, plan.split_k > 1), plan)
    return list(plans.values())


@pytest.mark.parametrize("element", TYPES)
@pytest.mark.parametrize("seed", range(14))
def test_random_shapes(library, element, seed):
    rng = np.random.default_rng([seed, TYPES[element]])
    case = make_case(rng, random_conv(rng, TYPES[element]), *rng.choice(MASKS, 2))
    check_plans(library, case, f"seed {seed}", one_of_each_kernel(library, case.conv))


# Around the tiles: 16 rows of a fragment, 32 and 64 of a tile, 64 to 256 pixels, 16 and 32 products, strips of 64.
EDGES = {
    "one of everything": describe(1, 1, 1, kernel=1),
    "a row too many": describe(17, 65, 8),
    "a row too few": describe(15, 63, 8),
    "a product too many": describe(33, 16, (8, 8), kernel=1),
    "a pixel too many": describe(16, 16, (5, 13), kernel=1),
    "whole vectors of 8": describe(40, 33, (12, 16), kernel=1),
    "whole vectors of 4": describe(40, 33, (14, 14), kernel=1),
    "vectors of 8 in two samples": describe(16, 16, (4, 6), kernel=1, batch=2, active_rows=2, scale_rows=2),
    "two strips of 33": describe(5, 6, (3, 66)),
    "strips of 44 and 43": describe(4, 5, (4, 131), stride=(1, 1)),
    "wide with stride": describe(4, 5, (5, 140), stride=2),
    "a window larger than the map": describe(20, 18, (2, 3), kernel=5),
    "a border of nothing else": describe(6, 7, 2, pad=6, dilation=3),
    "rectangles": describe(9, 10, (6, 11), kernel=(1, 5), pad=(0, 2), stride=(2, 1)),
    "even kernel": describe(8, 9, 7, kernel=2, pad=1),
    "1x1 with stride": describe(20, 21, 9, kernel=1, stride=2),
    "1x1 with border": describe(20, 21, 4, kernel=1, pad=1),
    # A window arrives in as many portions as there are taps. Here the last is not empty, and the first tap needs it.
    "two windows in all portions": describe(64, 5, (5, 32), kernel=(1, 3), stride=(1, 2), pad=(0, 1)),
    "stem": describe(3, 20, 24, kernel=7, stride=2, pad=3),
    "depthwise": describe(21, 21, 9, group=21),
    "depthwise with two outputs": describe(10, 20, (5, 12), group=10, stride=2),
    "groups": describe(24, 36, 6, group=3, batch=2, scale_rows=2),
}


@pytest.mark.parametrize("element", TYPES)
@pytest.mark.parametrize("name", EDGES)
def test_edges(library, element, name):
    rng = np.random.default_rng(3)
    conv = EDGES[name]
    conv.type, conv.weight_order, conv.residual_dense = TYPES[element], int(rng.choice([OIHW, HWIO])), 1
    case = make_case(rng, conv, "half", "all")
    check_plans(library, case, name, one_of_each_kernel(library, conv))


@pytest.mark.parametrize(("outputs", "inputs"), list(itertools.product(MASKS, MASKS)))
def test_masks(library, outputs, inputs):
    """Every pair of masks, drawn for each sample, on a shape that all tensor core algorithms take."""
    for kernel in (1, 3):
        conv = describe(36, 40, 4, kernel=kernel, batch=2, scale_rows=2, active_rows=2, type=FLOAT16, act_min=-math.inf)
        case = make_case(np.random.default_rng(5), conv, outputs, inputs)
        check_plans(library, case, f"{outputs} of the outputs, {inputs} of the inputs", first_of_each(library, conv))


def first_of_each(library, conv):
    """One plan per algorithm."""
    return list({plan.algorithm: plan for plan in reversed(library.candidates(conv, ORIN))}.values())


def test_every_kernel_is_covered(library):
    """The shapes above reach every line of kernels.inc."""
    text = (library.path.parents[2] / "runtime/native/cuda/conv/kernels.inc").read_text()
    listed = sum(line.startswith(("SANP_CONV_KERNEL(", "SANP_PACKED_KERNEL(")) for line in text.splitlines())
    reached = set()
    for conv, element in itertools.product(EDGES.values(), TYPES.values()):
        conv.type = element
        reached |= {(element, p.algorithm, p.tile_m, p.tile_n, p.threads) for p in library.candidates(conv, ORIN)}
    assert len(reached) == listed


def test_gates_of_any_value(library):
    """NaN and infinity count as open and show in the result; nothing is read out of bounds."""
    for element in TYPES.values():
        conv = describe(20, 24, 5, type=element, act_min=-math.inf)
        case = make_case(np.random.default_rng(6), conv, "all", "all")
        case.arrays["scale"][0, 3], case.arrays["shift"][0, 7] = np.nan, np.nan
        case.arrays["in_active"][0, ::2], case.arrays["in_active"][0, 1::2] = np.nan, -3e38
        case.expected[:, [3, 7]] = np.nan
        check_plans(library, case, "gates that are not numbers")


def test_large_results_saturate_and_small_ones_round(library):
    conv = describe(4, 8, 4, kernel=1, type=FLOAT16, act_min=-math.inf)
    for value, scale in ((1.0, 3e5), (-1.0, 3e5), (1.0, 1e-7)):
        case = make_case(np.random.default_rng(7), conv, "all", "all")
        case.arrays["x"][:], case.arrays["w"][:] = value, 1.0
        case.arrays["scale"][:], case.arrays["shift"][:], case.arrays["residual"][:] = scale, 0, 0
        case.expected[:] = np.clip(4 * value * scale, -65504, 65504)
        case.tolerance[:] = 2.0**-25
        check_plans(library, case, f"{value} scaled by {scale}")


def test_the_order_of_threads_and_blocks_does_not_matter(library):
    """A result that depends on it is a data race, within a block or between blocks."""
    shapes = (
        describe(52, 18, (4, 8), kernel=1),
        describe(52, 18, 8, batch=2, scale_rows=2),
        describe(64, 18, (5, 32), kernel=(1, 3), stride=(1, 2), pad=(0, 1)),
    )
    for element, conv in itertools.product(TYPES.values(), shapes):
        conv.type = element
        case = make_case(np.random.default_rng(8), conv, "half", "all")
        for plan in one_of_each_kernel(library, conv, HOPPER):
            results = []
            for order in (1, 12345):
                library.handle.sanp_emulator_order(order)
                results.append(case.run(library, MEMORY, plan).tobytes())
            assert len(set(results)) == 1, library.describe(plan)


@pytest.mark.parametrize("element", TYPES)
def test_what_is_closed_is_not_read(library, element):
    """Planes of closed inputs, weights of closed outputs (OIHW) and closed inputs (HWIO) lie in forbidden pages."""
    row = PAGE // (2 if element == "float16" else 4)
    shapes = [
        describe(row, 21, (4, 4), kernel=1, weight_order=OIHW),
        describe(21, row, (2, 4), kernel=1, weight_order=HWIO),
        describe(7, 5, (32, row // 32), weight_order=OIHW),
        describe(7, 5, (32, row // 32), kernel=1),
        describe(5, 5, (32, row // 32), group=5),
    ]
    for conv in shapes:
        conv.type = TYPES[element]
        case = make_case(np.random.default_rng(10), conv)
        x, w = case.arrays["x"], case.arrays["w"]
        closed_in, closed_out = (case.arrays[name][0] == 0 for name in ("in_active", "scale"))
        pages = [(x, closed_in)] if x.nbytes // conv.c_in % PAGE == 0 else []
        rows = closed_in if conv.weight_order == HWIO else closed_out
        if w.nbytes // rows.size % PAGE == 0 and w.shape[:2] != (3, 3):
            pages.append((w, rows))
        assert pages
        for plan in one_of_each_kernel(library, conv):
            case.check(case.run(library, PagedMemory(pages), plan), library.describe(plan))


def test_slices_of_any_number_of_inputs(library):
    """More slices than there are open channels: the empty ones must count as zero, not as what lies in memory."""
    conv = describe(128, 8, 3, type=FLOAT32)
    for inputs in ("none", "one", "half"):
        case = make_case(np.random.default_rng(9), conv, "all", inputs)
        plans = [p for p in library.candidates(conv, HOPPER) if p.split_k > 1]
        assert max(p.split_k for p in plans) >= 8
        check_plans(library, case, f"{inputs} of the inputs", plans)
