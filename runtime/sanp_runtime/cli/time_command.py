"""`time`: what the convenient call and the bound call take for the same samples."""

from __future__ import annotations

import argparse
from typing import Any

from sanp_runtime.cli.arguments import add_command, add_engine_options, add_variant, engine_options, print_result
from sanp_runtime.profile.call_times import time_calls


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(commands, "time", run, "measure engine(x) beside the bound call of one variant")
    add_engine_options(parser)
    add_variant(parser)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of measurement [default: 3]")
    parser.add_argument("--batch", type=int, default=1, help="samples per call [default: 1]")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    times = time_calls(
        arguments.bundle,
        engine_options(arguments),
        variant=arguments.variant,
        duration_s=arguments.duration,
        batch=arguments.batch,
    )
    print_result(arguments, times.to_json(), times.lines())
