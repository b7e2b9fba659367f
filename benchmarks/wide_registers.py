"""Proof that a function used no AVX-512, by the registers that the processor tracks as in use; this thread only."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Callable
from pathlib import Path

from benchmarks.compiled import compiled

# Set by without_avx512.py for all processes of a benchmark: what they time must pass `require_unused`.
DEMANDED = "SANP_BENCHMARK_WITHOUT_AVX512"


def demanded() -> bool:
    """Whether this process was started to run without AVX-512."""
    return DEMANDED in os.environ


@functools.cache
def _state() -> ctypes.CDLL:
    if platform.machine() != "x86_64":
        raise SystemExit(f"registers of AVX-512 are those of x86-64, this machine is {platform.machine()}")
    library = compiled(Path(__file__).with_name("wide_registers.cc"))
    library.sanp_forget_avx512.restype = ctypes.c_bool
    library.sanp_avx512_in_use.restype = ctypes.c_uint32
    return library


def used(run: Callable[[], object]) -> bool:
    """Call `run` and say whether it used AVX-512: masks, 512 bits, or registers 16 to 31 of any width.

    A function that leaves these registers cleared goes unnoticed; none of the kernels here does that. SystemExit where
    the processor does not tell.
    """
    state = _state()
    if not state.sanp_forget_avx512():
        raise SystemExit("this processor does not tell which registers are in use (XGETBV of register 1)")
    run()
    return bool(state.sanp_avx512_in_use())


def run_once(run: Callable[[], object]) -> None:
    """Call `run`; where AVX-512 is ruled out, SystemExit if it used it."""
    if not demanded():
        run()
    elif used(run):
        raise SystemExit("AVX-512 was used in a benchmark without it; if the kernels are ours, pass --isa avx2")
