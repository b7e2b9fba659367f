"""What several commands take and how they print."""

from __future__ import annotations

import argparse
from typing import Any, Callable, Dict, Sequence

from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.contract import ALL_VARIANTS
from sanp_runtime.engines.options import BUNDLED, EngineOptions

Run = Callable[[argparse.Namespace], None]


def add_command(commands: Any, name: str, run: Run, text: str, aliases: Sequence[str] = ()) -> argparse.ArgumentParser:
    """A command that takes a bundle and --json."""
    parser: argparse.ArgumentParser = commands.add_parser(name, aliases=aliases, help=text, description=text)
    parser.set_defaults(command=run)
    parser.add_argument("bundle", help="directory written by `sanp compile`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """The flags of `engine_options`."""
    parser.add_argument("--threads", type=int, default=1, help="threads of the engine [default: 1]")
    parser.add_argument("--isa", help="force an instruction set of the operator library")
    parser.add_argument("--plain", action="store_true", help="plain ONNX Runtime without our kernels (slow)")


def engine_options(arguments: argparse.Namespace) -> EngineOptions:
    """The options that the flags say."""
    library = None if arguments.plain else BUNDLED
    return EngineOptions(threads=arguments.threads, library=library, isa=arguments.isa)


def add_variant(parser: argparse.ArgumentParser) -> None:
    """--variant."""
    parser.add_argument("--variant", help=f"{', '.join(ALL_VARIANTS)} [default: the network as trained]")


def add_controls(parser: argparse.ArgumentParser) -> None:
    """--power-mode and --fix-clocks."""
    parser.add_argument("--power-mode", metavar="NAME", help="set this power mode of a Jetson, and set it back")
    parser.add_argument("--fix-clocks", action="store_true", help="fix the clocks, and set them back")


def add_budget(parser: argparse.ArgumentParser) -> None:
    """--budget."""
    text = "what a sample may cost, as a share of the network as trained; `info` lists the budgets of a bundle"
    parser.add_argument("--budget", type=float, help=text)


def print_result(arguments: argparse.Namespace, row: Dict[str, Any], lines: Sequence[str]) -> None:
    """The JSON object if --json was given, else the lines."""
    print(dumps(row) if arguments.json else "\n".join(lines))
