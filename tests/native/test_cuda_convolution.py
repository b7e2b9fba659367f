"""The CUDA convolution kernels, run by the CPU emulator, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from native.cuda_cases import MASKS, describe, make_case, random_conv
from native.cuda_library import FLOAT16, FLOAT32, ORIN, CudaLibrary, build_emulated
from native.cuda_memory import HostMemory

TYPES = {"float32": FLOAT32, "float16": FLOAT16}


@pytest.fixture(scope="module")
def library() -> CudaLibrary:
    return build_emulated()


def check_all(library, case, seed, device=ORIN):
    for plan in library.candidates(case.conv, device):
        case.check(case.run(library, HostMemory(), plan), f"seed {seed}, {library.describe(plan)}")


@pytest.mark.parametrize("element", TYPES)
@pytest.mark.parametrize("seed", range(12))
def test_random_shapes(library, element, seed):
    rng = np.random.default_rng([seed, TYPES[element]])
    case = make_case(rng, random_conv(rng, TYPES[element]), *rng.choice(MASKS, 2))
    check_all(library, case, seed)
