"""Yardsticks in C++, compiled where they run: how fast this core multiplies and adds."""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable
from typing import Any

from benchmarks.command_line import kernel_parser
from benchmarks.compiled import NATIVE, compiled
from benchmarks.sessions import Library


def measure_ceiling(isa: str) -> float | None:
    """GFLOP/s of register-only multiply-adds on this core; None for an instruction set without such a yardstick."""
    function = compiled(NATIVE / "tests/cpu/ceiling.cc").sanp_fma_ceiling
    function.restype = ctypes.c_double
    return float(function(isa.encode())) or None


def started(
    description: str | None, more: Callable[[argparse.ArgumentParser], object] = lambda parser: None
) -> tuple[argparse.Namespace, Library, dict[str, Any]]:
    """The command line of a benchmark of our kernels, its library, and the head of its result file; prints the head.

    more: adds options of one benchmark.
    """
    parser = kernel_parser(description)
    more(parser)
    parser.add_argument("--winograd", type=int, choices=[0, 2, 4], help="largest tile allowed, 0: none; default: any")
    args = parser.parse_args()
    library = Library(args.library, args.isa)
    ceiling = measure_ceiling(library.isa)
    rate = "FMA ceiling not measured" if ceiling is None else f"FMA ceiling {ceiling:.1f} GFLOP/s on one core"
    print(f"{library.text}, {rate}")
    return args, library, {**library.origin(), "ceiling_gflops": ceiling, "winograd": args.winograd}
