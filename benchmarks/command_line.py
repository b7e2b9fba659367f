"""Command lines of the benchmarks, and the result files they write."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the text at the top of the script, as it stands there."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def json_parser(description: str | None) -> argparse.ArgumentParser:
    """`parser` with `--json` for the results."""
    made = parser(description)
    made.add_argument("--json", type=Path, help="write all results to this file")
    return made


def kernel_parser(description: str | None) -> argparse.ArgumentParser:
    """`json_parser` with the options of every benchmark that times our CPU kernels."""
    made = json_parser(description)
    made.add_argument("--only", default="", help="layers or networks whose name contains this")
    made.add_argument("--isa", default="auto", help="auto, avx512, avx2, neon or portable")
    made.add_argument("--library", type=Path, help="operator library; default: the one of this installation")
    made.add_argument("--rounds", type=at_least_two, default=25)
    return made


def at_least_two(text: str) -> int:
    """A number of rounds: quartiles need two."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, expected 2 or more")
    return int(text)


def write_json(path: Path | None, content: Any) -> None:
    """Write a result file completely or not at all; nothing without a path."""
    from sanp_runtime.bundle.files import write_atomically

    if path is not None:
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
