"""Where output goes: results to stdout (JSON with --json), progress and remarks to stderr.

Nothing that is printed is read as markup: names and paths come from outside and may hold anything. What is to be
coloured is a `Text`, made by `styled`. A character that the stream cannot show is replaced, because a measurement of
minutes must not end in an encoding error on its multiplication sign.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.cli.process import ClosedOutput

# Without a terminal rich assumes 80 columns and cuts tables; a pipe or a log file has no width.
_PIPE_WIDTH = 200


def open_streams() -> None:
    """Let stdout and stderr replace what they cannot encode; without a stdout the first result is a failure,
    without a stderr remarks go nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None and name == "stdout":
            sys.stdout = ClosedOutput()  # type: ignore[assignment,unused-ignore]
        elif stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


open_streams()
_PLAIN: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False, "emoji": False}
out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, **_PLAIN)
err = Console(stderr=True, **_PLAIN)


def styled(*parts: str | tuple[str, str]) -> Text:
    """One line of plain strings and (string, style) pairs."""
    return Text.assemble(*parts)


def verdicts(line: str) -> Text:
    """A line whose PASS and FAIL are coloured."""
    text = Text(line)
    text.highlight_words(["PASS"], "green")
    text.highlight_words(["FAIL"], "bold red")
    return text


def print_json(value: Any) -> None:
    """One JSON document on stdout, nothing else."""
    print(dumps(value, indent=2, default=str))


def table(title: str | None, columns: list[tuple[str, str]], rows: list[list[str]]) -> Table:
    """A plain table; columns are (heading, "left" or "right"). Cells are text, never markup."""
    result = Table(
        title=Text(title) if title else None, title_justify="left", box=None, pad_edge=False, title_style="bold"
    )
    for heading, justify in columns:
        result.add_column(Text(heading), justify="right" if justify == "right" else "left", no_wrap=True)
    for row in rows:
        result.add_row(*map(Text, row))
    return result


def step(text: str) -> None:
    """A remark about what happens now."""
    err.print(styled((">", "bold cyan"), f" {text}"))


def fail(kind: str, text: str) -> None:
    """One line about an error."""
    err.print(styled((f"{kind}:", "bold red"), f" {text}"))
