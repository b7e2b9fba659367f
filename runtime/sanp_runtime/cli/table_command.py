"""`table`: how long each layer takes by its open channels, as the latency table that training asks for."""

from __future__ import annotations

import argparse
from typing import Any

from sanp_runtime.cli.arguments import add_command, add_controls, add_engine_options, engine_options, print_result
from sanp_runtime.latency.measure import DURATION_S, measure_table
from sanp_runtime.latency.text import table_lines
from sanp_runtime.profile.text import require_valid


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(commands, "table", run, "measure the latency table of a network with gates")
    add_engine_options(parser)
    text = f"seconds of measurement [default: {DURATION_S:g}]"
    parser.add_argument("--duration", type=float, default=DURATION_S, help=text)
    add_controls(parser)
    parser.add_argument("--output", "-o", help="also write the table to this file")
    parser.add_argument("--allow-invalid", action="store_true", help="exit 0 even if the numbers must not be quoted")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    table = measure_table(
        arguments.bundle,
        engine_options(arguments),
        duration_s=arguments.duration,
        power_mode=arguments.power_mode,
        fix_clocks=arguments.fix_clocks,
    )
    if arguments.output is not None:
        table.save(arguments.output)
    result = table.to_json()
    print_result(arguments, result, table_lines(result))
    if not arguments.allow_invalid:
        require_valid(result)
