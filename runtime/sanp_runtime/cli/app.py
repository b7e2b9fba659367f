"""`python -m sanp_runtime COMMAND`: the parser, and what an error or Ctrl-C returns.

Results go to standard output (one JSON object with --json), messages to standard error. Exit codes: 0 pass, 1 a check
failed, 2 bad usage or input, 3 backend or target not available, 4 measurement not valid, 71 not enough memory, 74 the
output cannot be written, 130 interrupted, 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

from sanp_runtime.cli import (
    build_command,
    info_command,
    profile_command,
    run_command,
    self_test_command,
    table_command,
    time_command,
)
from sanp_runtime.cli.process import (
    BROKEN_PIPE,
    NO_MEMORY,
    NO_MEMORY_SENTENCE,
    NO_OUTPUT,
    ClosedOutput,
    drop_output,
    is_output_failure,
    lacks_memory,
    output_sentence,
)
from sanp_targets.errors import SanpError

# In the order of `--help`; a command is a module with `add(commands)`.
COMMANDS = (run_command, self_test_command, profile_command, table_command, time_command, build_command, info_command)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code; usage errors exit with 2 as argparse does."""
    if sys.stdout is None:
        sys.stdout = ClosedOutput()  # type: ignore[assignment,unused-ignore]
    try:
        try:
            arguments = _parser().parse_args(argv)
            arguments.command(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk can still be said in a sentence
    except SanpError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        if lacks_memory(error):
            print(f"error: {NO_MEMORY_SENTENCE}", file=sys.stderr)
            return NO_MEMORY
        if not is_output_failure(error):
            raise
        drop_output()
        if isinstance(error, BrokenPipeError):  # who reads has seen enough
            return BROKEN_PIPE
        print(f"error: {output_sentence(error)}", file=sys.stderr)
        return NO_OUTPUT
    except Exception as error:
        if not lacks_memory(error):
            raise
        print(f"error: {NO_MEMORY_SENTENCE}", file=sys.stderr)
        return NO_MEMORY
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse swallows what goes wrong while it prints its help; a full disk is to be said here too."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (file or sys.stderr).write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_program(), description="Run, test and measure a bundle here.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return parser


def _program() -> str:
    """How this was called: from the archive in a bundle, or as a module."""
    called = Path(sys.argv[0]).name if sys.argv else ""
    return f"python3 {called}" if called.endswith(".pyz") else "python -m sanp_runtime"
