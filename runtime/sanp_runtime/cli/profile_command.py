"""`profile`: latency of the variants dense, open and gated side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.cli.arguments import (
    add_budget,
    add_command,
    add_controls,
    add_engine_options,
    engine_options,
    print_result,
)
from sanp_runtime.network.sizes import size_of
from sanp_runtime.profile.profile import profile
from sanp_runtime.profile.text import profile_lines, require_valid


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(commands, "profile", run, "measure the variants dense, open (every gate open) and gated")
    add_engine_options(parser)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of measurement [default: 10]")
    parser.add_argument("--batch", type=int, default=1, help="samples per call [default: 1]")
    parser.add_argument("--size", help="height and width of the images, such as 320x256, of a bundle for several")
    add_condition_options(parser)
    add_budget(parser)
    parser.add_argument("--budgets", action="store_true", help="also measure every budget of the bundle")
    parser.add_argument("--output", "-o", help="also write the JSON, raw values included, to this file")
    parser.add_argument("--allow-invalid", action="store_true", help="exit 0 even if the numbers must not be quoted")


def add_condition_options(parser: argparse.ArgumentParser) -> None:
    """What holds the conditions of a measurement, and what is measured beside latency."""
    add_controls(parser)
    parser.add_argument("--energy", action="store_true", help="also measure the energy per inference")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    result = profile(
        arguments.bundle,
        engine_options(arguments),
        duration_s=arguments.duration,
        batch=arguments.batch,
        size=None if arguments.size is None else size_of(arguments.size),
        power_mode=arguments.power_mode,
        fix_clocks=arguments.fix_clocks,
        energy=arguments.energy,
        budget=arguments.budget,
        budgets=arguments.budgets,
    ).to_json()
    if arguments.output is not None:
        write_atomically(Path(arguments.output), dumps(result).encode())
    print_result(arguments, result, profile_lines(result))
    if not arguments.allow_invalid:
        require_valid(result)
